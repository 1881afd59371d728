"""ASGI apps of this process that serve MCP themselves: found, called, told of leavers, and let do the rest."""

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from portside.errors import HostGone, StartFailed
from portside.hosting.http.transport import Request
from portside.hosting.upstream.asgi import AsgiHost
from portside.hosting.upstream.asgi_transport import HIGH_WATER, App, AsgiTransport, Receive, Scope, Send
from portside.hosting.upstream.endpoint import NotLetIn
from tests.gateway.servers import Gate, build
from tests.upstream.talking import (
    Heard,
    legacy_call,
    legacy_tool,
    modern_call,
    modern_tool,
    record,
    shake_hands,
    text,
)

pytestmark = pytest.mark.anyio

POST = Request(b"POST", b"/mcp?a=b", [(b"x-test", b"1")], b"body")


def sdk_app(server: MCPServer[Any] | None = None, **options: Any) -> App:
    return cast("App", (server or build()).streamable_http_app(**options))


@asynccontextmanager
async def hosted(app: App, path: str | None = None, *, host: str = "localhost:8000") -> AsyncGenerator[AsgiHost]:
    made = AsgiHost(app, path, host=host)
    async with asyncio.timeout(30):
        await made.start()
        try:
            yield made
        finally:
            await made.close()


# -- finding the endpoint -----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/mcp", "/mcp/", "/"])
async def test_the_endpoint_is_found_where_it_usually_is(path: str) -> None:
    async with hosted(sdk_app(streamable_http_path=path)) as host:
        link = await host.open(None, Heard())
        assert text(await link.request(modern_tool("echo", text="hello"), Heard(), modern_call())) == "hello"
        assert (host.description.name, host.description.eras) == ("tested", ("modern", "legacy"))
        assert not host.description.is_foreign


async def test_an_endpoint_elsewhere_is_served_when_it_is_named() -> None:
    async with hosted(sdk_app(streamable_http_path="/deep/down"), "/deep/down") as host:
        link = await host.open(None, Heard())
        assert text(await link.request(modern_tool("echo", text="hello"), Heard(), modern_call())) == "hello"


async def test_a_mounted_app_with_its_lifespan_is_served() -> None:
    inner = build().streamable_http_app(streamable_http_path="/")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with inner.router.lifespan_context(inner):
            yield

    app = Starlette(routes=[Mount("/mcp", inner)], lifespan=lifespan)
    async with hosted(cast("App", app)) as host:
        link = await host.open(None, Heard())
        assert text(await link.request(modern_tool("echo", text="hello"), Heard(), modern_call())) == "hello"


async def test_an_app_without_an_endpoint_is_said_to_have_none() -> None:
    host = AsgiHost(cast("App", Starlette()))
    with pytest.raises(StartFailed, match="no MCP endpoint was found") as caught:
        await host.start()
    assert all(f"the app at {path}" in caught.value.message for path in ("/mcp", "/mcp/", "/"))


async def test_an_app_that_accepts_other_hosts_alone_is_asked_as_one_of_them() -> None:
    guarded = TransportSecuritySettings(allowed_hosts=["mcp.example.com"])
    with pytest.raises(StartFailed, match="421") as caught:
        await AsgiHost(sdk_app(transport_security=guarded)).start()
    assert "localhost:8000" in (caught.value.hint or "")
    async with hosted(sdk_app(transport_security=guarded), host="mcp.example.com") as host:
        assert host.description.eras == ("modern", "legacy")


# -- calls --------------------------------------------------------------------------------------


async def test_both_eras_are_called_with_progress_and_the_session_is_ended() -> None:
    async with hosted(sdk_app()) as host:
        shared, back = await host.open(None, Heard()), Heard()
        asked = modern_tool("count", meta={"progressToken": "p"}, to=3)
        assert text(await shared.request(asked, back, modern_call())) == "counted 3"
        assert [(told.params or {})["progressToken"] for told in back.told] == ["p"] * 3
        session, back = await host.open(record(), Heard()), Heard()
        await shake_hands(session)
        asked = legacy_tool("count", meta={"progressToken": "p"}, to=3)
        assert text(await session.request(asked, back, legacy_call())) == "counted 3"
        assert [(told.params or {})["progressToken"] for told in back.told] == ["p"] * 3
        await session.close()
        with pytest.raises(HostGone):
            await session.request(legacy_tool("echo", text="x"), Heard(), legacy_call())


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_cancelled_call_is_cancelled_in_the_app(era: str) -> None:
    gate, back, meta = Gate(), Heard(), {"progressToken": 1}
    async with hosted(sdk_app(build(gate))) as host:
        if era == "modern":
            link = await host.open(None, Heard())
            task = asyncio.ensure_future(link.request(modern_tool("hold_aloud", meta=meta), back, modern_call()))
        else:
            link = await host.open(record(), Heard())
            await shake_hands(link)
            task = asyncio.ensure_future(link.request(legacy_tool("hold_aloud", meta=meta), back, legacy_call()))
        await gate.entered.wait()
        task.cancel()
        assert await gate.outcome == "cancelled"
        await link.close()


async def test_the_app_sees_who_asks_and_under_which_name_as_its_client_said() -> None:
    """The app is the user's own code: its own guards and its own authentication are to work."""
    seen: list[Scope] = []
    inner = sdk_app()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await inner(scope, receive, send)

    caller = [
        (b"host", b"localhost:1234"),
        (b"authorization", b"Bearer theirs"),
        (b"accept-encoding", b"gzip"),
        (b"content-length", b"9999"),
        (b"mcp-session-id", b"ours"),
        (b"x-request-id", b"r-1"),
    ]
    async with hosted(app) as host:
        link = await host.open(None, Heard())
        call = modern_call(caller)
        call.client, call.scheme = ("203.0.113.7", 4321), "https"
        assert text(await link.request(modern_tool("echo", text="x"), Heard(), call)) == "x"
        scope = seen[-1]
    sent = dict(scope["headers"])
    assert len(scope["headers"]) == len(sent)
    assert (sent[b"host"], sent[b"authorization"], sent[b"x-request-id"]) == (
        b"localhost:1234",
        b"Bearer theirs",
        b"r-1",
    )
    assert b"mcp-session-id" not in sent
    assert b"accept-encoding" not in sent
    assert sent[b"content-length"] != b"9999"
    assert (scope["client"], scope["scheme"], scope["path"]) == (("203.0.113.7", 4321), "https", "/mcp")


async def test_the_apps_own_guard_judges_the_callers_host() -> None:
    async with hosted(sdk_app()) as host:
        link = await host.open(None, Heard())
        with pytest.raises(HostGone, match="421"):
            await link.request(modern_tool("echo", text="x"), Heard(), modern_call([(b"host", b"evil.example")]))


async def test_an_app_with_its_own_authentication_is_served_and_its_challenge_kept() -> None:
    inner = sdk_app()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (b"authorization", b"Bearer good") not in scope["headers"]:
            await send(start(401, (b"www-authenticate", b'Bearer resource_metadata="https://x/y"')))
            await send(body(b""))
        else:
            await inner(scope, receive, send)

    async with hosted(app) as host:
        assert host.description.eras == ("modern", "legacy")
        assert "401" in host.description.notices[0]
        link = await host.open(None, Heard())
        with pytest.raises(NotLetIn) as caught:
            await link.request(modern_tool("echo", text="x"), Heard(), modern_call())
        assert (caught.value.status, caught.value.challenge) == (401, b'Bearer resource_metadata="https://x/y"')
        known = modern_call([(b"authorization", b"Bearer good")])
        assert text(await link.request(modern_tool("echo", text="x"), Heard(), known)) == "x"


# -- the lifespan and the other paths -----------------------------------------------------------


async def test_the_lifespan_is_run_once_and_its_state_reaches_every_request() -> None:
    events: list[str] = []
    inner = build().streamable_http_app()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[dict[str, str]]:
        async with inner.router.lifespan_context(inner):
            events.append("up")
            yield {"pool": "open"}
            events.append("down")

    async def page(request: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse(request.state.pool)

    app = Starlette(routes=[Route("/page", page), Mount("/", inner)], lifespan=lifespan)
    async with hosted(cast("App", app), "/mcp") as host:
        route = host.routes[0]
        assert route.matches({"type": "http", "path": "/page"})[0].value == 2
        assert route.matches({"type": "http", "path": "/mcp"})[0].value == 0
        assert route.matches({"type": "http", "path": "/mcp/"})[0].value == 0
        sent = await handled(route, "/page")
        assert (sent[0]["status"], sent[1]["body"]) == (200, b"open")
        assert events == ["up"]
        await host.close()
    assert events == ["up", "down"]


async def handled(route: Any, path: str) -> list[MutableMapping[str, Any]]:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(event: MutableMapping[str, Any]) -> None:
        sent.append(event)

    scope: Scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "root_path": ""}
    await route.handle(scope, receive, send)
    return sent


async def test_a_startup_that_fails_is_the_start_that_fails() -> None:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        raise ValueError("no database")
        yield

    with pytest.raises(StartFailed, match="no database"):
        await AsgiHost(cast("App", Starlette(lifespan=lifespan))).start()


# -- the transport itself -----------------------------------------------------------------------


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_an_app_gets_the_request_and_its_answer_is_read() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/mcp", b"a=b")
        asked = await receive()
        assert (asked["body"], asked["more_body"]) == (b"body", False)
        await send(start(201, (b"X-A", b"1"), (b"x-a", b"2")))
        await send(body(b"one ", more=True))
        await send(body(b"two"))
        assert (await receive())["type"] == "http.disconnect"

    transport = AsgiTransport(app, "localhost", {})
    response = await transport.send(POST)
    assert (response.status, response.headers) == (201, {b"x-a": b"1, 2"})
    assert await response.read(100) == b"one two"
    await transport.close()


@pytest.mark.parametrize("when", ["before", "within"])
async def test_an_app_that_fails_is_gone(when: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if when == "within":
            await send(start())
            await send(body(b"half", more=True))
        raise ValueError("secret detail")

    transport = AsgiTransport(app, "localhost", {})
    with pytest.raises(HostGone, match="raised ValueError") as caught:
        await (await transport.send(POST)).read(100)
    assert "secret" not in caught.value.message
    await transport.close()


async def test_an_app_that_returns_without_an_answer_is_gone() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    transport = AsgiTransport(app, "localhost", {})
    with pytest.raises(HostGone, match="returned before"):
        await transport.send(POST)
    await transport.close()


async def test_an_app_waits_for_a_reader_that_is_behind_and_is_told_when_it_leaves() -> None:
    sent = 0
    told = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await receive()
        await send(start())
        for _ in range(100):
            await send(body(b"x" * HIGH_WATER, more=True))
            sent += 1
        assert (await receive())["type"] == "http.disconnect"
        told.set()

    transport = AsgiTransport(app, "localhost", {})
    response = await transport.send(POST)
    for _ in range(100):
        await asyncio.sleep(0)
    assert sent < 5
    assert await response.chunk()
    response.close()
    async with asyncio.timeout(5):
        await told.wait()
    await transport.close()


async def test_an_answer_over_the_limit_is_an_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"x" * 101))

    transport = AsgiTransport(app, "localhost", {})
    with pytest.raises(HostGone, match="more than 100 bytes"):
        await (await transport.send(POST)).read(100)
    await transport.close()


async def test_closing_ends_an_app_that_listens_and_one_that_does_not() -> None:
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        try:
            await (receive() if scope["method"] == "POST" else asyncio.Event().wait())
        finally:
            ended.append(scope["method"])

    transport = AsgiTransport(app, "localhost", {})
    responses = [await transport.send(POST), await transport.send(Request(b"GET", b"/", []))]
    await transport.close()
    assert ended == ["POST", "GET"]
    for response in responses:
        with pytest.raises(HostGone, match="closed"):
            await response.read(100)
    with pytest.raises(HostGone, match="closed"):
        await transport.send(POST)
