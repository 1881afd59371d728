"""What every `Leases` promises."""

import pytest

from tests.contracts.worlds import Open

pytestmark = pytest.mark.anyio

LONG = 60_000


async def test_only_one_holder_has_a_lease(opened: Open) -> None:
    async with opened() as world:
        assert await world.here.leases.acquire("job", "a", ttl_ms=LONG) is not None
        assert await world.there.leases.acquire("job", "b", ttl_ms=LONG) is None
        assert await world.there.leases.holder("job") == "a"


async def test_leases_of_other_names_are_others(opened: Open) -> None:
    async with opened() as world:
        await world.here.leases.acquire("job", "a", ttl_ms=LONG)
        assert await world.there.leases.acquire("other", "b", ttl_ms=LONG) is not None
        assert await world.here.leases.holder("nobody's") is None


async def test_renewing_keeps_the_token_and_makes_the_lease_last(opened: Open) -> None:
    async with opened() as world:
        first = await world.here.leases.acquire("job", "a", ttl_ms=500)
        assert await world.here.leases.acquire("job", "a", ttl_ms=LONG) == first
        await world.elapse(501)
        assert await world.there.leases.holder("job") == "a"


async def test_a_renewal_may_shorten_a_lease(opened: Open) -> None:
    async with opened() as world:
        await world.here.leases.acquire("job", "a", ttl_ms=LONG)
        await world.here.leases.acquire("job", "a", ttl_ms=20)
        await world.elapse(21)
        assert await world.here.leases.holder("job") is None


async def test_a_lapsed_lease_is_anybodys_and_its_next_token_is_higher(opened: Open) -> None:
    async with opened() as world:
        first = await world.here.leases.acquire("job", "a", ttl_ms=20)
        await world.elapse(21)
        second = await world.there.leases.acquire("job", "b", ttl_ms=20)
        await world.elapse(21)
        third = await world.here.leases.acquire("job", "a", ttl_ms=LONG)
        assert first is not None
        assert second is not None
        assert third is not None
        assert first < second < third


async def test_a_lease_given_back_is_free_at_once(opened: Open) -> None:
    async with opened() as world:
        first = await world.here.leases.acquire("job", "a", ttl_ms=LONG)
        assert await world.here.leases.release("job", "a")
        second = await world.there.leases.acquire("job", "b", ttl_ms=LONG)
        assert first is not None
        assert second is not None
        assert first < second


async def test_only_its_holder_gives_a_lease_back(opened: Open) -> None:
    async with opened() as world:
        await world.here.leases.acquire("job", "a", ttl_ms=LONG)
        assert not await world.there.leases.release("job", "b")
        assert await world.here.leases.release("job", "a")
        assert not await world.here.leases.release("job", "a")
