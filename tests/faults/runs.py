"""What the tools of a server under faults do, whatever SDK serves them: each run leaves a trace."""

import asyncio
from collections.abc import Awaitable, Callable

from pydantic import BaseModel

from tests.faults.effects import place, record

Progress = Callable[[float, float, str], Awaitable[None]]
"""Tells the client of a call: how far, of how much, in words."""


class Word(BaseModel):
    """What the user is asked for."""

    word: str


async def add(a: int, b: int) -> str:
    return str(a + b)


async def effect(id: str, seconds: float = 0) -> str:
    """Do something that must not be done twice."""
    record("effect", id)
    await asyncio.sleep(seconds)
    return id


async def effect_idempotent(id: str, seconds: float = 0) -> str:
    """Do something that may be done again."""
    record("effect_idempotent", id)
    await asyncio.sleep(seconds)
    return id


async def taken(tool: str, id: str, seconds: float, steps: int, tell: Progress) -> str:
    """Take a while for a tool, and say so in numbered steps."""
    record(tool, id)
    for number in range(1, steps + 1):
        await tell(number, steps, f"{id} {number}")
        await asyncio.sleep(seconds / steps)
    return id


def told(tool: str, id: str, word: str) -> str:
    """Do, for a tool that has asked its user, something that must not be done twice."""
    record(tool, id)
    return f"{id} {word}"


async def whoami() -> str:
    return place()


def note(name: str) -> str:
    return f"the note {name}"
