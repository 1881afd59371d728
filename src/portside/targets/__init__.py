"""Platforms on paper: what each wants to be told, as pure functions. No I/O, and never a secret."""
