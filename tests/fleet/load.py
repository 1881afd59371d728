"""A steady load of calls, a fifth of them streams, each of which must be answered and have run once."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.journeys.raw import Connection, Reply, call

STREAM_S = 0.5
"""How long a stream lasts."""


@dataclass
class Load:
    """What was asked and what became of it; `failed` says for each failure what happened."""

    port: int
    sent: list[str] = field(default_factory=list[str])
    answered: list[str] = field(default_factory=list[str])
    failed: list[str] = field(default_factory=list[str])
    is_over: bool = False

    async def work(self, numbers: "itertools.count[int]", every_s: float, offset_s: float) -> None:
        """Send one call after another on a connection, which is opened anew only where the server ended it in order."""
        connection: Connection | None = None
        loop = asyncio.get_running_loop()
        due = loop.time() + offset_s
        while not self.is_over:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due + every_s, loop.time())
            number = next(numbers)
            text = f"call-{number}"
            self.sent.append(text)
            try:
                if connection is None:
                    connection = await Connection.open(self.port)
                if number % 5 == 0:
                    request = call("stream", {"text": text, "seconds": STREAM_S}, id=number, progressToken=number)
                else:
                    request = call("note", {"text": text}, id=number)
                reply = await connection.ask(request, timeout_s=30)
            except (OSError, EOFError, TimeoutError) as error:
                self.failed.append(f"{text}: {error!r}")
                connection = None
                continue
            self._judge(text, reply)
            if reply.headers.get("connection", "").lower() == "close":
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _judge(self, text: str, reply: Reply) -> None:
        if reply.status == 200 and reply.messages[-1].get("result", {}).get("content", [{}])[0].get("text") == text:
            self.answered.append(text)
        else:
            self.failed.append(f"{text}: {reply.status} {reply.body[:200]!r}")

    def assert_flawless(self, marks: Path) -> None:
        """Check that every call was answered, and ran exactly once."""
        assert self.failed == []
        assert self.answered
        ran = Counter(marks.read_text(encoding="utf-8").split())
        assert [text for text, times in ran.items() if times > 1] == []
        assert set(self.answered) == set(ran)


@asynccontextmanager
async def load(port: int, *, rate: int = 100, workers: int = 20) -> AsyncGenerator[Load]:
    """Send `rate` calls a second for the block, and wait for the answers to the last."""
    running = Load(port)
    numbers = itertools.count(1)
    # Streams keep their connection busy: others make up for it.
    every_s = workers / rate
    tasks = [asyncio.create_task(running.work(numbers, every_s, every_s * n / workers)) for n in range(workers)]
    try:
        yield running
        running.is_over = True
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
