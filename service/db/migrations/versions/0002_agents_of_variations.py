"""agents of variations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("variations", sa.Column("agent", sa.Text(), nullable=True))
    op.add_column("variations", sa.Column("model", sa.Text(), nullable=True))
    op.add_column("variations", sa.Column("temperature", sa.Double(), nullable=True))
    op.add_column("variations", sa.Column("prompt_suffix", sa.Text(), nullable=True))
    op.add_column("variations", sa.Column("command", sa.Text(), nullable=True))
    op.add_column("variations", sa.Column("usage", postgresql.JSONB(), nullable=True))
    op.add_column("runs", sa.Column("budget", postgresql.JSONB(), nullable=True))
    op.add_column("runs", sa.Column("mcp_servers", postgresql.JSONB(), nullable=True))
    op.execute("""
        UPDATE variations SET
            agent = runs.agent,
            model = CASE runs.agent WHEN 'command' THEN '' ELSE runs.model END,
            prompt_suffix = '',
            command = runs.command
        FROM runs WHERE runs.id = variations.run_id
    """)
    op.execute("UPDATE runs SET mcp_servers = '{}'")
    for column in ("agent", "model", "prompt_suffix", "command"):
        op.alter_column("variations", column, nullable=False)
    op.alter_column("runs", "mcp_servers", nullable=False)
    for column in ("agent", "model", "command"):
        op.drop_column("runs", column)


def downgrade() -> None:
    """A run has one agent then: that of its first variation."""
    for column in ("agent", "model", "command"):
        op.add_column("runs", sa.Column(column, sa.Text(), nullable=True))
    op.execute("""
        UPDATE runs SET
            agent = variations.agent,
            model = CASE variations.model WHEN '' THEN 'scripted' ELSE variations.model END,
            command = variations.command
        FROM variations WHERE runs.id = variations.run_id AND variations.index = 0
    """)
    for column in ("agent", "model", "command"):
        op.alter_column("runs", column, nullable=False)
    op.drop_column("runs", "mcp_servers")
    op.drop_column("runs", "budget")
    for column in ("usage", "command", "prompt_suffix", "temperature", "model", "agent"):
        op.drop_column("variations", column)
