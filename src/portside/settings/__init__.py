"""Settings: one table, read once at the start from flags, environment, secrets and portside.toml."""
