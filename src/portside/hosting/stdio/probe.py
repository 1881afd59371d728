"""Which eras a stdio command speaks, found out by asking it: `server/discover` first, then a handshake.

Each is asked in a child of its own, because a server locks to the era of its first request (MCP 2026-07-28, stdio,
Backward Compatibility).
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, cast

from portside.clock import Clock
from portside.errors import HostGone, StartFailed
from portside.hosting.base import Call
from portside.hosting.stdio import handshake
from portside.hosting.stdio.options import StdioOptions
from portside.hosting.stdio.running import Nobody, Running
from portside.hosting.stdio.spec import ChildSpec
from portside.wire import classify, refusal, revisions
from portside.wire import message as messages
from portside.wire.message import Message
from portside.wire.revisions import Era

MODERN_ERRORS: Final = frozenset({refusal.UNSUPPORTED_REVISION, refusal.HEADER_MISMATCH, refusal.MISSING_CAPABILITY})
LATE_S: Final = 1.0
SHOWN_WORDS: Final = 5


@dataclass(frozen=True, slots=True)
class Found:
    """What a command is. `shared` is a child that has answered in the modern era and is kept for it."""

    name: str
    version: str
    eras: tuple[Era, ...]
    shared: Running | None
    notices: tuple[str, ...] = ()


async def find(spec: ChildSpec, options: StdioOptions, clock: Clock) -> Found:
    """Start the command, ask what it speaks, and return that. Raises StartFailed where it speaks neither era."""
    first = await Running.start(spec, Nobody(), is_shared=True, clock=clock)
    discovering = asyncio.ensure_future(_discover(first))
    kept: Running | None = None
    try:
        async with asyncio.timeout(options.start_timeout_s):
            await asyncio.wait([discovering], timeout=options.probe_timeout_s)
            is_known = discovering.done() and _is_modern(discovering.result())
            greeted = await _greet(spec, clock, options.probe_timeout_s if is_known else None)
            if not discovering.done():
                # A slow start, such as a package that had to be fetched first, looks like silence.
                await asyncio.wait([discovering], timeout=LATE_S)
        discovered = discovering.result() if discovering.done() else "does not answer server/discover"
        found = _judge(discovered, greeted, first)
        if found is None:
            raise _neither(spec, first, discovered, greeted)
        kept = found.shared
        return found
    except TimeoutError:
        first.child.kill()
        text = f"{_command(spec)} answered neither server/discover nor initialize in {options.start_timeout_s:g} s"
        raise StartFailed(text, hint=_words(first)) from None
    finally:
        discovering.cancel()
        if kept is None:
            await first.close()


async def _discover(running: Running) -> Message | str:
    """Return the answer to `server/discover`, or what happened instead of one."""
    meta = {
        classify.META_REVISION: revisions.LATEST_MODERN,
        classify.META_CAPABILITIES: {},
        classify.META_CLIENT: dict(handshake.CLIENT),
    }
    asked = messages.request("discover", "server/discover", {"_meta": meta})
    return await _ask(running, asked, Call("modern", revisions.LATEST_MODERN))


async def _greet(spec: ChildSpec, clock: Clock, timeout_s: float | None) -> Message | str:
    """Return a fresh child's answer to `initialize`, or what happened instead of one."""
    running = await Running.start(spec, Nobody(), is_shared=False, clock=clock)
    asked = messages.request("greeting", "initialize", handshake.greeting())
    try:
        async with asyncio.timeout(timeout_s):
            answer = await _ask(running, asked, Call("legacy", revisions.LATEST_LEGACY))
        if isinstance(answer, str):
            return _with_words(answer, running)
        return answer
    except TimeoutError:
        return "does not answer initialize"
    except BaseException:
        running.child.kill()
        raise
    finally:
        await running.close()


async def _ask(running: Running, asked: Message, call: Call) -> Message | str:
    try:
        return await running.request(asked, Nobody(), call)
    except HostGone as gone:
        return f"{gone.message} when asked {asked.method}"


def _judge(discovered: Message | str, greeted: Message | str, first: Running) -> Found | None:
    modern = discovered.result if isinstance(discovered, Message) else None
    legacy = greeted.result if isinstance(greeted, Message) else None
    notices: list[str] = []
    if modern is not None and revisions.LATEST_MODERN not in (served := _strings(modern.get("supportedVersions"))):
        notices.append(f"speaks {', '.join(served) or 'no known revision'} and not {revisions.LATEST_MODERN}")
        modern = None
    if modern is None and _is_modern(discovered) and legacy is None:
        return None
    eras: list[Era] = []
    if modern is not None:
        eras.append("modern")
    if legacy is not None:
        eras.append("legacy")
    if not eras:
        return None
    info = _info((modern or {}).get("_meta"), classify.META_SERVER) or _info(legacy, "serverInfo")
    shared = first if modern is not None else None
    return Found(str(info.get("name", "unknown")), str(info.get("version", "")), tuple(eras), shared, tuple(notices))


def _is_modern(discovered: Message | str) -> bool:
    """Say whether this is how a modern server answers, be it with an error only such a one knows."""
    if isinstance(discovered, str):
        return False
    return discovered.result is not None or (discovered.error or {}).get("code") in MODERN_ERRORS


def _neither(spec: ChildSpec, first: Running, discovered: Message | str, greeted: Message | str) -> StartFailed:
    text = f"{_command(spec)} is no MCP server that can be served: server/discover: {_told(discovered)}; "
    return StartFailed(text + f"initialize: {_told(greeted)}", hint=_words(first))


def _told(answer: Message | str) -> str:
    if isinstance(answer, str):
        return answer
    if answer.error is not None:
        return f"error {answer.error['code']}: {str(answer.error['message'])[:200]}"
    return f"supportedVersions {_strings((answer.result or {}).get('supportedVersions'))}"


def _with_words(told: str, running: Running) -> str:
    words = running.child.last_words
    return f"{told} ({words[-1]})" if words else told


def _words(running: Running) -> str | None:
    words = list(running.child.last_words)[-SHOWN_WORDS:]
    return "its last words: " + "\n  ".join(words) if words else None


def _command(spec: ChildSpec) -> str:
    return repr(" ".join(spec.command))


def _info(value: object, key: str) -> dict[str, Any]:
    holder = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    info = holder.get(key)
    return cast("dict[str, Any]", info) if isinstance(info, dict) else {}


def _strings(value: object) -> list[str]:
    return [one for one in cast("list[object]", value) if isinstance(one, str)] if isinstance(value, list) else []
