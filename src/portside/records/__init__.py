"""What must not be lost: API keys and the audit log, in SQLite or PostgreSQL, migrated and backed up."""
