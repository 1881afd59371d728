"""One key ring for the `requestState` of every replica, in place of the SDK's own, which dies with its process."""

from collections.abc import Sequence
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState, RequestStateBoundary

_LABEL: Final = b"portside/request-state/v1"
_AUDIENCE: Final = "portside"


class SharedCodec:
    """Seals with our first key; opens what any of ours sealed, and what the server's own codec did."""

    def __init__(self, secrets: Sequence[bytes], own: AESGCMRequestStateCodec) -> None:
        self._ours = AESGCMRequestStateCodec(
            [HKDF(algorithm=SHA256(), length=32, salt=None, info=_LABEL).derive(secret) for secret in secrets]
        )
        self._own = own

    def seal(self, payload: bytes) -> str:
        """Return the token of a payload."""
        return self._ours.seal(payload)

    def unseal(self, token: str) -> bytes:
        """Return the payload of a token. Raises InvalidRequestState."""
        try:
            return self._ours.unseal(token)
        except InvalidRequestState:
            return self._own.unseal(token)


def share(middleware: Sequence[Any], secrets: Sequence[bytes]) -> None:
    """Have every boundary among `middleware` seal with keys derived from `secrets`; without any, nothing changes.

    A codec of the user's own kind is left alone: whoever brings one has decided where its keys are. An audience that
    nobody set is the server's name, which some SDKs make up anew in each process, so it becomes one for all replicas.
    """
    for boundary in middleware:
        if not secrets or not isinstance(boundary, RequestStateBoundary):
            continue
        security = boundary._security  # pyright: ignore[reportPrivateUsage]
        if type(security.codec) is not AESGCMRequestStateCodec:
            continue
        security.codec = SharedCodec(secrets, security.codec)
        if security.audience is None:
            boundary._audience = _AUDIENCE  # pyright: ignore[reportPrivateUsage]
