"""One suite a shape, met by every implementation."""
