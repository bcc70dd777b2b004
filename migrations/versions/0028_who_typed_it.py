"""What people typed is kept apart from what loggers measured, with who typed it; and who sent a reading by HTTP is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0025"
branch_labels = None
depends_on = None

AUTHOR = "who sent it by HTTP; null: the logger itself, or sent before that was kept"
READINGS = (
    "what loggers measured; a hypertable on measured_at wherever TimescaleDB is there; a copy that comes later may "
    "add seq and boot, and nothing else is ever updated"
)
FORMERLY = "a hypertable on measured_at wherever TimescaleDB is there; rows are never updated"
RESOLUTION = "by how much two copies of one temperature may differ; null: as usual"
TYPED = "what people read off and typed; the logger's own reading of the same instant, in readings, goes before it"


def upgrade() -> None:
    op.add_column("devices", sa.Column("resolution_c", sa.Double, comment=RESOLUTION))
    # A column without a default costs the same on a hypertable of any size.
    op.add_column("readings", sa.Column("author", sa.Text, comment=AUTHOR))
    op.create_table_comment("readings", READINGS, existing_comment=FORMERLY)
    op.execute("CREATE TABLE manual_readings (LIKE readings)")
    op.alter_column("manual_readings", "author", nullable=False, comment="who typed it")
    op.create_primary_key("manual_readings_pkey", "manual_readings", ["device_id", "measured_at"])
    op.create_table_comment("manual_readings", TYPED)


def downgrade() -> None:
    op.drop_table("manual_readings")
    op.create_table_comment("readings", FORMERLY, existing_comment=READINGS)
    op.drop_column("readings", "author")
    op.drop_column("devices", "resolution_c")
