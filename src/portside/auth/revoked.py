"""Tokens taken back before their time."""

from portside.auth.cache import digest_of


class Revoked:
    """What was revoked, by token or by the issuer's own id of it (`jti`). Takes effect at once, cached or not.

    It grows until `forget` is told of it: an entry is of no use once its token has expired.
    """

    __slots__ = ("_ids", "_tokens")

    def __init__(self) -> None:
        self._tokens: set[bytes] = set()
        self._ids: set[tuple[str | None, str]] = set()

    def __len__(self) -> int:
        return len(self._tokens) + len(self._ids)

    def revoke(self, digest: bytes) -> None:
        """Revoke the token with this SHA-256."""
        self._tokens.add(digest)

    def revoke_token(self, token: str) -> None:
        """Revoke a token somebody holds in hand."""
        self._tokens.add(digest_of(token))

    def revoke_id(self, issuer: str | None, token_id: str) -> None:
        """Revoke the token that its issuer calls `token_id` (`jti`, unique for one issuer only: RFC 7519 §4.1.7)."""
        self._ids.add((issuer, token_id))

    def forget(self, digest: bytes) -> None:
        """Drop an entry whose token has expired."""
        self._tokens.discard(digest)

    def forget_id(self, issuer: str | None, token_id: str) -> None:
        """Drop an entry whose token has expired."""
        self._ids.discard((issuer, token_id))

    def covers(self, digest: bytes, issuer: str | None, token_id: str | None) -> bool:
        """Say whether a token was revoked."""
        return digest in self._tokens or (token_id is not None and (issuer, token_id) in self._ids)
