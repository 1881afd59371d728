"""How a container asks the server in it, with nothing but the Python that is there."""

from typing import Final

PROGRAM: Final = (
    "import http.client as h, os, pathlib, sys; "
    "seen = pathlib.Path('/tmp/portside-was-ready'); "
    "c = h.HTTPConnection('127.0.0.1', int(os.environ.get('MCP_PORT', '3000')), timeout=2.5); "
    "c.request('GET', '/health' if seen.exists() else '/ready'); "
    "sys.exit(1) if c.getresponse().status != 200 else seen.touch()"
)
"""Engines know one check only: it asks `/ready` until that was answered once, so that what waits for a healthy
container waits for a ready server, and `/health` from then on. Not urllib, which would ask a proxy from the
environment."""

COMMAND: Final = ("/opt/venv/bin/python", "-c", PROGRAM)
