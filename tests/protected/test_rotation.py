"""An issuer changes its keys, is flooded with unknown ones, and goes away: nobody with a good token notices.

Row A11 of the reliability bar.
"""

import asyncio
import math
import time
from typing import Final

import pytest

from tests.issuer import key
from tests.journeys.raw import get
from tests.protected.made import RESOURCE, ask, modern
from tests.protected.rotating import Rotating

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

MIN_INTERVAL_S: Final = 30.0
FLOOD: Final = 1000


async def test_keys_are_rotated_without_one_good_token_refused_and_with_one_fetch_in_half_a_minute(
    rotating: Rotating,
) -> None:
    server, issuer = rotating.server, rotating.issuer
    old, new, now = key("old", "ES256"), key("new", "ES256"), int(time.time())
    claims = issuer.claims(aud=RESOURCE, iat=now, exp=now + 600)
    with_old, with_new = old.token(claims), new.token(claims)

    async def status(token: str) -> int:
        return (await ask(server.port, modern("tools/list", token=token))).status

    assert await status(with_old) == 200
    issuer.publish(old, new)
    async with asyncio.timeout(60):
        while await status(with_new) != 200:
            assert await status(with_old) == 200
            await asyncio.sleep(0.05)
    for number in range(FLOOD):
        assert await status(old.sign({"alg": "ES256", "typ": "JWT", "kid": f"none-{number}"}, claims)) == 401
        assert number % 10 or await status(old.token({**claims, "jti": str(number)})) == 200
    assert issuer.asked["/keys"] <= 1 + math.ceil((time.monotonic() - rotating.begun) / MIN_INTERVAL_S)
    issuer.publish(new)
    assert [await status(token) for token in (with_old, with_new)] == [200, 200]
    issuer.documents.clear()
    assert [await status(new.token({**claims, "jti": f"after-{number}"})) for number in range(20)] == [200] * 20
    assert await status(key("never", "ES256").token(claims)) == 401
    assert (await ask(server.port, get("/ready"))).status == 200
