"""Finding out what an upstream speaks, waiting for one that is not up yet, and saying why one cannot be served."""

import asyncio
from typing import Any

import pytest

from portside.errors import HostGone, StartFailed
from portside.hosting.base import Description
from portside.hosting.http.client import Limits
from portside.hosting.upstream.host import UpstreamHost, UpstreamOptions, upstream
from portside.secret import Secret
from portside.wire import classify
from tests.processes import free_port
from tests.upstream.scripted import Answer, Asked, Peer, Scripted, scripted
from tests.upstream.talking import INITIALIZED, Heard, modern_call, modern_tool

pytestmark = pytest.mark.anyio

DISCOVERED: dict[str, Any] = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {},
    "_meta": {classify.META_SERVER: {"name": "scripted", "version": "3"}},
}


async def started(server: Scripted, options: UpstreamOptions | None = None) -> Description:
    host = upstream(server.url, options)
    try:
        async with asyncio.timeout(20):
            await host.start()
    finally:
        await host.close()
    return host.description


def speaking(*, modern: bool, legacy: bool) -> Answer:
    async def answer(asked: Asked, peer: Peer) -> None:
        if asked.method == "DELETE":
            await peer.answer(200)
        elif asked.rpc == "server/discover" and modern:
            await peer.result(asked, DISCOVERED)
        elif asked.rpc == "initialize" and legacy:
            await peer.result(asked, INITIALIZED, mcp_session_id="probe-session")
        else:
            error = {"code": -32600, "message": "Missing session ID"}
            await peer.json({"jsonrpc": "2.0", "id": None, "error": error}, 400)

    return answer


@pytest.mark.parametrize(
    ("modern", "legacy", "eras"),
    [(True, True, ("modern", "legacy")), (True, False, ("modern",)), (False, True, ("legacy",))],
)
async def test_a_server_is_asked_what_it_speaks_and_who_it_is(
    modern: bool, legacy: bool, eras: tuple[str, ...]
) -> None:
    async with scripted(speaking(modern=modern, legacy=legacy)) as server:
        found = await started(server)
    assert (found.eras, found.name, found.version, found.is_foreign) == (eras, "scripted", "3", True)


async def test_a_session_opened_to_find_out_is_ended() -> None:
    async with scripted(speaking(modern=False, legacy=True)) as server:
        await started(server)
    deleted = [asked for asked in server.asked if asked.method == "DELETE"]
    assert [asked.headers["mcp-session-id"] for asked in deleted] == ["probe-session"]


@pytest.mark.parametrize(
    ("error", "eras"),
    [
        ({"code": -32022, "message": "x", "data": {"supported": ["2026-07-28"], "requested": "y"}}, ("modern",)),
        ({"code": -32021, "message": "x", "data": {"requiredCapabilities": {"sampling": {}}}}, ("modern",)),
        ({"code": -32022, "message": "x", "data": {"supported": ["2030-01-01"]}}, ()),
        ({"code": -32601, "message": "Method not found"}, ()),
    ],
)
async def test_a_modern_refusal_tells_a_modern_server(error: dict[str, Any], eras: tuple[str, ...]) -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        if asked.rpc == "server/discover":
            await peer.json({"jsonrpc": "2.0", "id": asked.json["id"], "error": error}, 400)
        else:
            await peer.answer(404)

    async with scripted(answer) as server:
        if eras:
            assert (await started(server)).eras == eras
            return
        with pytest.raises(StartFailed, match="no MCP server that portside can speak to"):
            await started(server)


async def test_what_is_no_mcp_server_is_said_with_what_it_answered() -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.answer(404, b"<html>\n  Nothing   here </html>", content_type="text/html")

    async with scripted(answer) as server:
        with pytest.raises(StartFailed) as caught:
            await started(server)
    assert server.url in caught.value.message
    assert "404 to 'server/discover': '<html> Nothing here </html>'" in caught.value.message
    assert "404 to 'initialize'" in caught.value.message


async def test_a_page_that_repeats_our_credentials_does_not_get_them_told() -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.answer(400, repr(asked.headers).encode())

    async with scripted(answer) as server:
        with pytest.raises(StartFailed) as caught:
            await started(server, UpstreamOptions({"Authorization": Secret(b"Bearer hunter2")}))
    assert "hunter2" not in str(caught.value)
    assert "********" in caught.value.message


@pytest.mark.parametrize("status", [401, 403])
async def test_a_server_that_wants_credentials_names_the_settings_for_them(status: int) -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.answer(status)

    async with scripted(answer) as server:
        with pytest.raises(StartFailed, match=f"answered {status}") as caught:
            await started(server, UpstreamOptions(credentials_hint="set UPSTREAM_TOKEN"))
    assert caught.value.hint == "set UPSTREAM_TOKEN"


async def test_a_redirect_is_said_with_where_it_leads() -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        await peer.answer(307, location="/mcp/")

    async with scripted(answer) as server:
        with pytest.raises(StartFailed, match="307 \\(to '/mcp/'\\)"):
            await started(server)


async def test_a_handshake_that_settles_on_an_unknown_revision_is_none() -> None:
    async def answer(asked: Asked, peer: Peer) -> None:
        if asked.rpc == "initialize":
            await peer.result(asked, {**INITIALIZED, "protocolVersion": "2019-01-01"})
        else:
            await peer.answer(400)

    async with scripted(answer) as server:
        with pytest.raises(StartFailed, match="2019-01-01"):
            await started(server)


async def test_a_server_that_is_not_up_yet_is_waited_for() -> None:
    refusals = 0

    async def answer(asked: Asked, peer: Peer) -> None:
        nonlocal refusals
        if refusals < 2:
            refusals += 1
            await peer.answer(503)
        else:
            await speaking(modern=True, legacy=True)(asked, peer)

    async with scripted(answer) as server:
        assert (await started(server)).eras == ("modern", "legacy")


async def test_a_server_nobody_listens_for_is_waited_for_until_cancelled() -> None:
    host = upstream(f"http://127.0.0.1:{free_port()}/mcp")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await host.start()
    await host.close()


# -- afterwards ---------------------------------------------------------------------------------


async def test_a_ping_tells_a_server_that_answers_from_one_that_does_not() -> None:
    status = 200

    async def answer(asked: Asked, peer: Peer) -> None:
        if status == 200:
            await speaking(modern=True, legacy=True)(asked, peer)
        else:
            await peer.answer(status)

    async with scripted(answer) as server:
        host = upstream(server.url)
        await host.start()
        await host.ping()
        for refusing in (401, 500, 503):
            status = refusing
            with pytest.raises(HostGone):
                await host.ping()
        await host.close()


async def test_a_legacy_server_is_pinged_without_opening_a_session() -> None:
    is_up = True

    async def answer(asked: Asked, peer: Peer) -> None:
        if not is_up:
            await peer.answer(502)
        elif asked.method == "GET":
            await peer.answer(400)
        else:
            await speaking(modern=False, legacy=True)(asked, peer)

    async with scripted(answer) as server:
        host = upstream(server.url)
        await host.start()
        before = len(server.asked)
        await host.ping()
        is_up = False
        with pytest.raises(HostGone, match="502"):
            await host.ping()
        await host.close()
    assert server.methods[before:] == ["GET", "GET"]


async def test_after_the_end_calls_fail() -> None:
    async with scripted(speaking(modern=True, legacy=True)) as server:
        host: UpstreamHost = upstream(server.url, UpstreamOptions(limits=Limits(max_connections=1)))
        await host.start()
        link = await host.open(None, Heard())
        await host.close()
        await host.close()
        with pytest.raises(HostGone, match="closed"):
            await link.request(modern_tool("t"), Heard(), modern_call())
