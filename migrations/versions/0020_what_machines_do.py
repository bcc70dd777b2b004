"""The loggers' verifiers, the brokers of a database, and what of the service does not work."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    instant = TIMESTAMP(timezone=True)
    op.create_table(
        "logger_credentials",
        sa.Column("device_id", sa.Text(collation="C"), sa.ForeignKey("devices.device_id"), primary_key=True),
        sa.Column("verifier", sa.LargeBinary, nullable=False, comment="PBKDF2 of the password, with SHA-512"),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("iterations", sa.Integer, nullable=False),
        sa.Column("broker", sa.Text, comment="its address, host:port; null: not known"),
        sa.Column("changed_at", instant, nullable=False, server_default=sa.func.now()),
        comment="what the broker checks each logger's password with: its accounts can be made anew from it",
    )
    op.create_table(
        "brokers",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("address", sa.Text, nullable=False, unique=True, comment="host:port"),
        sa.Column("first_seen_at", instant, nullable=False, server_default=sa.func.now()),
        comment="the brokers that ingesters of this database read from: each has slots of its own",
    )
    op.create_table(
        "service_faults",
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("process", sa.Text, nullable=False, comment="host:pid"),
        sa.Column("since", instant, nullable=False),
        sa.Column("seen_at", instant, nullable=False, comment="a process that is gone says nothing any more"),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("critical", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("part", "process"),
        comment="what does not work, as each process finds it; alerts follow it",
    )


def downgrade() -> None:
    op.drop_table("service_faults")
    op.drop_table("brokers")
    op.drop_table("logger_credentials")
