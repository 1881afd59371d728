"""A server whose issuer is about to change its keys."""

from dataclasses import dataclass

from tests.issuer import Issuer
from tests.processes import Serving


@dataclass(frozen=True, slots=True)
class Rotating:
    """The server, its issuer, and when (monotonic) it began to fetch keys."""

    server: Serving
    issuer: Issuer
    begun: float
