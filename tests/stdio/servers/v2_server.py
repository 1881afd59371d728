"""A server of the official SDK v2 that prints where it must not, and a factory of a lowlevel one."""

import os
import subprocess
import sys
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer

print("printed while importing")
served = MCPServer("printing")


@served.tool()
def shout(text: str) -> str:
    """Say it loudly, and print on the way."""
    print("printed by a tool", flush=True)
    os.write(1, b"written by a tool\n")
    subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
    return f"{text.upper()} {sys.stdin.read()!r}"


def build() -> Server[Any]:
    return Server("built")
