"""nginx that takes replicas out of use without a reload, which closes connections that clients are about to use."""

from collections.abc import Iterator
from typing import Final

from portside.targets.front import Backend, Front

PLACE: Final = "$portside_at"
"""The upstream of a request, once `walk` has chosen it."""

_HOPS: Final = 4


def upstreams(front: Front) -> Iterator[str]:
    """Yield one upstream a replica, and how requests are spread over those in use.

    Each falls back to the others where the connection could not be made.
    """
    used = [backend for backend in front.backends if not backend.out]
    share = 10_000 // len(used) / 100
    yield "split_clients $portside_place $portside_home {"
    yield from (f"    {share:.2f}% {_name(backend)};" for backend in used[:-1])
    yield f"    * {_name(used[-1])};"
    yield "}"
    yield "# Where to go instead of a replica that is out of use; read again at each step."
    yield "map $portside_at $portside_next {"
    yield "    volatile;"
    circle = [*used, *(backend for backend in front.backends if backend.out)]
    yield from (
        f"    {_name(one)} {_name(other)};" for one, other in zip(circle, [*circle[1:], circle[0]], strict=True)
    )
    yield "}"
    for backend in front.backends:
        yield from _upstream(backend, front)


def walk(front: Front) -> Iterator[str]:
    """Yield the choice of a replica: its own, or the next one that no file says is out of use."""
    yield "set $portside_at $portside_home;"
    step = f"if (-f {front.gates}/$portside_at) {{ set $portside_at $portside_next; }}"
    yield from (step for _ in range(min(len(front.backends), _HOPS)))


def gate(backend_name: str) -> str:
    """Return the name of the file that takes a backend out of use."""
    return f"portside-{backend_name}"


def _upstream(backend: Backend, front: Front) -> Iterator[str]:
    yield f"upstream {_name(backend)} {{"
    # max_fails=0: one refused connection must not shun a replica that is back a moment later.
    yield f"    server {backend.address} max_fails=0;"
    yield from (f"    server {one.address} max_fails=0 backup;" for one in front.backends if one is not backend)
    yield "    keepalive 16;"
    yield "}"


def _name(backend: Backend) -> str:
    return gate(backend.name)
