"""SDK families that cannot live beside SDK v2: their adapters, run by interpreters of their own."""
