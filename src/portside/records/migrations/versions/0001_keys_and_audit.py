"""API keys and the audit log."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create both tables. Written out here: a step must not change when the tables of later versions do."""
    op.create_table(
        "portside_keys",
        sa.Column("id", sa.String(8), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("principal", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("expires", sa.Double),
        sa.Column("revoked", sa.Double),
        sa.Column("last_used", sa.Double),
        sa.PrimaryKeyConstraint("id", name="portside_keys_pkey"),
    )
    op.create_table(
        "portside_audit",
        sa.Column("writer", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("checkpoint", sa.Text),
        sa.PrimaryKeyConstraint("writer", "sequence", name="portside_audit_pkey"),
    )
