"""The HTTP client that calls to upstreams go by: small, because every call pays for it."""
