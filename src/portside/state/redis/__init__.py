"""State on Redis or Valkey, shared by all replicas (docs/state.md)."""
