"""What endpoints have lost is counted until they are told, and a database that went back is recognized."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

INSTANT = TIMESTAMP(timezone=True)


def upgrade() -> None:
    for column in (
        sa.Column(
            "dropped",
            sa.Integer,
            nullable=False,
            server_default="0",
            comment="events removed after their retention that it never accepted, until it is told of them",
        ),
        sa.Column("dropped_from", INSTANT, comment="when the first of them was made"),
        sa.Column("dropped_until", INSTANT, comment="when the last of them was made"),
    ):
        op.add_column("webhooks", column)
    op.create_table(
        "database_pulses",
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=True),
        sa.Column(
            "incarnation",
            sa.Uuid,
            nullable=False,
            comment="the life of the database: it changes when it went back",
        ),
        sa.Column(
            "nonce",
            sa.Uuid,
            nullable=False,
            comment="tells this pulse from one that has its number after a restore",
        ),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("server", sa.Text, nullable=False, comment="which server and database it was added in"),
        comment="one each few seconds: who remembers one that is not here knows that the database went back",
    )
    op.create_table(
        "database_restorations",
        sa.Column("incarnation", sa.Uuid, primary_key=True, comment="of the database from then on"),
        sa.Column("former", sa.Uuid, nullable=False, comment="of what it was before"),
        sa.Column("evidence", sa.Text, nullable=False, comment="went_back or another_server"),
        sa.Column("went_back_to", INSTANT, comment="its newest pulse; null: it had none"),
        sa.Column("known_until", INSTANT, nullable=False, comment="the newest pulse that was remembered"),
        sa.Column("noticed_at", INSTANT, nullable=False),
        comment="when the database was found to have gone back",
    )
    op.create_index("database_restorations_former_idx", "database_restorations", ["former"])


def downgrade() -> None:
    op.drop_table("database_restorations")
    op.drop_table("database_pulses")
    for column in ("dropped_until", "dropped_from", "dropped"):
        op.drop_column("webhooks", column)
