"""Asking the sentinels which Redis is the master."""

import asyncio
from collections import Counter
from typing import Final

from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import RedisError

from portside.state.redis.address import Address, Place
from portside.state.redis.pool import Pool, wire

ASKED_S: Final = 0.2


async def master(address: Address) -> Place:
    """Return where most of the sentinels that answer within 200 ms say the master is. Raises redis's ConnectionError.

    Most of them, since one that is cut off from the others still believes in the former master.
    """
    answers = await asyncio.gather(*(_asked(address, place) for place in address.places))
    votes = Counter(answer for answer in answers if answer is not None)
    if not votes:
        raise RedisGone(f"none of {len(answers)} sentinels knows a master named {address.master!r}")
    return votes.most_common(1)[0][0]


async def _asked(address: Address, place: Place) -> Place | None:
    pool = Pool(lambda: wire(address, place, ASKED_S, to_sentinel=True))
    try:
        async with asyncio.timeout(ASKED_S):
            reply = await pool.run("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.master or "")
    except (RedisError, OSError):  # TimeoutError is an OSError
        return None
    finally:
        await pool.close()
    if not isinstance(reply, list) or len(reply) != 2:
        return None
    host, port = reply
    return (host.decode(), int(port)) if isinstance(host, bytes) and isinstance(port, bytes) else None
