"""Why somebody does not get in: refusals of a credential (401), and not being able to judge one (503)."""

from typing import ClassVar

from portside.errors import PortsideError


class NotAuthenticated(PortsideError):
    """A credential was judged and is not good. `reason` is for the client and fixed; it never holds the credential."""

    reason: ClassVar[str] = "the credential is not valid"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.reason)


class TokenMalformed(NotAuthenticated):
    """Not a compact JWS of at most 16 KiB with strict JSON inside, or one with header members we must not ignore."""

    reason = "the token is malformed"


class TokenTypeWrong(NotAuthenticated):
    """A JWT, but not an access token."""

    reason = "the token is not of a type accepted here"


class AlgorithmRefused(NotAuthenticated):
    """Signed by an algorithm that its key is not for, or not at all."""

    reason = "the token is signed in a way not accepted here"


class IssuerUnknown(NotAuthenticated):
    """From an issuer nobody here trusts."""

    reason = "the token's issuer is not trusted here"


class SignatureWrong(NotAuthenticated):
    """No key of the issuer made this signature."""

    reason = "the token's signature is not valid"


class AudienceWrong(NotAuthenticated):
    """For somebody else (RFC 8707), or for nobody in particular."""

    reason = "the token is not meant for this server"


class TokenExpired(NotAuthenticated):
    """Its time is over."""

    reason = "the token has expired"


class TokenNotYetValid(NotAuthenticated):
    """Its time has not come, or it was issued in the future."""

    reason = "the token is not valid yet"


class ClaimsWrong(NotAuthenticated):
    """A claim is missing or of the wrong form."""

    reason = "a claim of the token is missing or malformed"


class TokenRevoked(NotAuthenticated):
    """Taken back before its time."""

    reason = "the token has been revoked"


class TokenInactive(NotAuthenticated):
    """The authorization server says that the token is not active."""

    reason = "the token is not active"


class KeyRefused(NotAuthenticated):
    """An API key that is unknown, expired or revoked: which of these is nobody's business."""

    reason = "the API key is not valid"


class CertificateRefused(NotAuthenticated):
    """A client certificate that names nobody, or more than one, or whose time is over."""

    reason = "the client certificate does not identify anybody here"


class IdentityUnavailable(PortsideError):
    """Who asks cannot be told now, since what tells it cannot be reached: 503, and nobody gets in."""


class FetchFailed(PortsideError):
    """A document of an authorization server could not be fetched."""


class KeysUnusable(PortsideError):
    """A key set, or the metadata that leads to it, is not one to rely on."""
