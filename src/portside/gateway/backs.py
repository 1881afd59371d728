"""The ways from a hosted server back to the client of one call, and the link of a session that has none any more."""

from typing import TYPE_CHECKING, Final

from portside.errors import HostGone, NoBackChannel
from portside.gateway.answer import Answer
from portside.gateway.channel import Channel
from portside.hosting.base import Back, Call
from portside.wire.message import Message

if TYPE_CHECKING:
    from portside.gateway.session import Session


class EndedLink:
    """The link of a session that has ended, for whatever comes late."""

    def is_plain(self, message: Message) -> bool:
        return False

    async def request(self, message: Message, back: Back, call: Call) -> Message:
        raise HostGone("the session has ended")

    async def notify(self, message: Message, call: Call) -> None:
        """Drop it."""

    async def close(self) -> None:
        """Nothing is held."""


ENDED: Final = EndedLink()


class ChannelBack:
    """The channel back to the client of a call that goes on after its replica: whoever resumes its stream."""

    def __init__(self, session: "Session", channel: Channel) -> None:
        self._session = session
        self._channel = channel

    async def notify(self, message: Message) -> None:
        """Send a notification on the call's stream."""
        await self._channel.emit(message.encode())

    async def request(self, message: Message) -> Message:
        """Ask the client on the call's stream."""
        return await self._session.ask(message, self._channel.emit)


class CallBack:
    """The channel back to the client of one call: its own stream."""

    def __init__(self, session: "Session", answer: Answer) -> None:
        self._session = session
        self._answer = answer

    async def notify(self, message: Message) -> None:
        """Send a notification on the call's stream."""
        await self._answer.event(message)

    async def request(self, message: Message) -> Message:
        """Ask the client on the call's stream."""
        if not self._answer.may_stream:
            raise NoBackChannel("the client accepts no stream on this request")
        return await self._session.ask(message, self._answer.write)
