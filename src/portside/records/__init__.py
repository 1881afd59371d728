"""What must not be lost: API keys, the audit log, calls with a key, in SQLite or PostgreSQL, migrated and backed up."""
