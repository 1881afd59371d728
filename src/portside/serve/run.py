"""Serving again and again: `--reload` for development."""

import importlib.util
import shlex
import sys
from pathlib import Path
from typing import NoReturn

from portside.errors import StartFailed
from portside.hosting import target
from portside.settings.sources import Loaded


def reloading(loaded: Loaded) -> NoReturn:
    """Serve in a child process and start it anew whenever a source file changes, until Ctrl+C.

    Raises StartFailed where watching is not possible.
    """
    if importlib.util.find_spec("watchfiles") is None:
        raise StartFailed("--reload needs watchfiles", hint="pip install 'portside[reload]'")
    from watchfiles import PythonFilter, run_process

    text = loaded.settings.target
    folder = _folder(target.parse(text)) if text is not None else Path.cwd()
    arguments = [argument for argument in sys.argv[1:] if argument != "--reload"]
    print(f"portside: watching {folder} for changes", file=sys.stderr, flush=True)
    run_process(
        folder,
        target=shlex.join([sys.executable, "-m", "portside", *arguments]),
        target_type="command",
        watch_filter=PythonFilter(extra_extensions=(".toml",)),
        sigint_timeout=round(loaded.settings.drain_timeout_ms / 1000) + 5,
        sigkill_timeout=5,
    )
    raise SystemExit(0)


def _folder(named: target.Target) -> Path:
    return named.file.expanduser().resolve().parent if named.file is not None else Path.cwd()
