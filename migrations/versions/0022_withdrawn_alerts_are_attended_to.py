"""An alert that turns out never to have been, or to have begun at another time, may change the cause of its incident."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

NOTE_ATTENTION = """
CREATE OR REPLACE FUNCTION note_attention() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('dewarwatch.attending', true) = 'on' THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO attention_marks (scope) SELECT DISTINCT coalesce(shipment_id, '') FROM after_it;
    ELSE
        INSERT INTO attention_marks (scope)
        SELECT DISTINCT coalesce(a.shipment_id, '') FROM after_it AS a JOIN before_it AS b USING (id)
        WHERE ({after}) IS DISTINCT FROM ({before});
    END IF;
    IF FOUND THEN
        PERFORM pg_notify('dewarwatch_attend', '');
    END IF;
    RETURN NULL;
END $$
"""
BEFORE = ("state", "severity", "owner", "acknowledged_at", "snoozed_until")
ADDED = ("withdrawn", "since")


def upgrade() -> None:
    _note((*BEFORE, *ADDED))


def downgrade() -> None:
    _note(BEFORE)


def _note(columns: tuple[str, ...]) -> None:
    after, before = (", ".join(f"{row}.{column}" for column in columns) for row in "ab")
    op.execute(NOTE_ATTENTION.format(after=after, before=before))
