"""The tables as this version knows them; how older ones become these is in `migrations/`."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

SCHEMA: Final = "0002"
"""The newest migration: a database at this revision has exactly these tables."""

SCHEMA_TABLE: Final = "portside_schema"
"""Where a database says which revision it is at."""

# The database may be the hosted server's own, hence the prefix.
metadata: Final = MetaData()

keys: Final = Table(
    "portside_keys",
    metadata,
    Column("id", String(8), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double),
    Column("revoked", Double),
    Column("last_used", Double),
    PrimaryKeyConstraint("id", name="portside_keys_pkey"),
)

audit: Final = Table(
    "portside_audit",
    metadata,
    Column("writer", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("time", Double, nullable=False),
    Column("entry", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("checkpoint", Text),
    PrimaryKeyConstraint("writer", "sequence", name="portside_audit_pkey"),
)

ledger: Final = Table(
    "portside_ledger",
    metadata,
    Column("key", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("owner", Text, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("outcome", LargeBinary),
    PrimaryKeyConstraint("key", name="portside_ledger_pkey"),
    Index("portside_ledger_expires", "expires"),
)
