"""Going on with a session whose replica is gone: the handshake once more, and all that the server was told since."""

import logging
from dataclasses import replace
from typing import cast

from portside.errors import HostGone
from portside.gateway.session import Session
from portside.hosting.base import Call, Link
from portside.wire import message
from portside.wire.message import Message

_log = logging.getLogger("portside.gateway")


async def repeat_handshake(session: Session, call: Call) -> None:
    """Bring the session's fresh link to where the former one was. Raises HostGone where that cannot be done.

    What the server kept in memory for the session is lost: the SDK's own session state, a child's memory.
    """
    record, link = session.record, cast("Link", session.link)
    # No channel to the client, no way to close its streams: nothing of this is its own request.
    call = replace(call, close_stream=None, close_standalone=None)
    params = {**record.initialize, "protocolVersion": record.revision}
    reply = await link.request(message.request("portside-handshake", "initialize", params), session, call)
    if reply.result is None:
        raise HostGone(f"the server refused to go on with a session: {_reason(reply)}")
    settled = reply.result.get("protocolVersion")
    if settled != record.revision:
        raise HostGone(f"the server settled on revision {settled!r}; this session speaks {record.revision}")
    if record.is_initialized:
        await link.notify(message.notification("notifications/initialized"), call)
    if record.log_level is not None:
        await _restore(session, "logging/setLevel", {"level": record.log_level}, call)
    for uri in sorted(record.subscriptions):
        await _restore(session, "resources/subscribe", {"uri": uri}, call)


async def _restore(session: Session, method: str, params: dict[str, object], call: Call) -> None:
    asked = message.request(f"portside-{method}", method, params)
    reply = await cast("Link", session.link).request(asked, session, call)
    if reply.error is not None:
        _log.warning("session %s goes on without its %s: %s", session.hash, method, _reason(reply))


def _reason(reply: Message) -> str:
    return str((reply.error or {}).get("message"))
