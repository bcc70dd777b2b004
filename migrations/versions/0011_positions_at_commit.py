"""Events get their position at commit, so that no reader waits for transactions that have nothing to do with them."""

import sqlalchemy as sa
from alembic import op

from migrations.transaction_id import TransactionId

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# In the order in which they could be read so far, as could whoever read them.
POSITIONS_SO_FAR = """
UPDATE outbox SET position = numbered.position
FROM (SELECT id, row_number() OVER (ORDER BY transaction_id, id) AS position FROM outbox) AS numbered
WHERE numbered.id = outbox.id
"""
GO_ON_FROM = "SELECT setval('outbox_position', max(position)) FROM outbox"
HANDED_ON_SO_FAR = """
UPDATE webhook_fanout AS f SET position = coalesce(
    (SELECT max(o.position) FROM outbox AS o WHERE (o.transaction_id, o.id) <= (f.transaction_id, f.outbox_id)), 0)
"""
WANTED_SINCE = """
UPDATE webhooks AS w SET since_position = coalesce(
    (SELECT max(o.position) FROM outbox AS o WHERE o.transaction_id < w.since_transaction), 0)
"""

# What was cut off has no position any more: all of it lies before the first.
END = """
CREATE FUNCTION outbox_end() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT greatest((SELECT max(position) FROM outbox), (SELECT position FROM outbox_pruned), 0)
$$
"""

# Its plan may be from when the table was empty: by the index always, since it runs for each event.
# It runs as the last thing before the commit. The lock is held until others see what was committed, so what is committed
# later has the higher position; who holds it waits only for the turn to notify, and for nobody who could wait for it.
PLACE = """
CREATE FUNCTION place_in_outbox() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan TO off AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(x'64776f7574626f78'::bigint);
    UPDATE outbox SET position = nextval('outbox_position') WHERE id = NEW.id;
    PERFORM pg_notify('dewarwatch_outbox', '');
    RETURN NULL;
END $$
"""
ON_INSERT = """
CREATE CONSTRAINT TRIGGER place_in_outbox AFTER INSERT ON outbox DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.position IS NULL) EXECUTE FUNCTION place_in_outbox()
"""

# A transaction for each event, all of them over: there were more transactions than there are events.
_THEN = """
greatest(1, pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1 - outbox_end() + {position})::text::xid8
"""
_OF_ITS_OWN = _THEN.format(position="position")
_OF_THE_NEXT = _THEN.format(position="since_position + 1")
TRANSACTIONS_AGAIN = f"UPDATE outbox SET transaction_id = {_OF_ITS_OWN}"  # noqa: S608 - our own words
HANDED_ON_AGAIN = f"UPDATE webhook_fanout SET transaction_id = {_OF_ITS_OWN}, outbox_id = {2**63 - 1}"  # noqa: S608
WANTED_AGAIN = f"UPDATE webhooks SET since_transaction = {_OF_THE_NEXT}"  # noqa: S608

# In the order in which who hands events on takes them: what still runs of the version before waits, and nothing deadlocks.
ALONE = "LOCK TABLE webhook_fanout, webhooks, outbox_pruned, outbox IN ACCESS EXCLUSIVE MODE"


def upgrade() -> None:
    op.execute(ALONE)
    op.execute("CREATE SEQUENCE outbox_position")
    op.add_column(
        "outbox",
        sa.Column(
            "position",
            sa.BigInteger,
            nullable=True,
            comment="given at commit, in the order of commits: readers go by it, and skip nothing",
        ),
    )
    op.execute(POSITIONS_SO_FAR)
    op.execute(GO_ON_FROM)
    op.create_index(
        "outbox_position_idx",
        "outbox",
        ["position"],
        unique=True,
        postgresql_where=sa.text("position IS NOT NULL"),
    )
    op.add_column(
        "outbox_pruned", sa.Column("position", sa.BigInteger, server_default=sa.text("0"), nullable=False)
    )
    op.alter_column("outbox_pruned", "position", server_default=None)
    op.drop_column("outbox_pruned", "transaction_id")
    op.drop_column("outbox_pruned", "id")
    op.execute(END)
    op.add_column("webhook_fanout", sa.Column("position", sa.BigInteger))
    op.execute(HANDED_ON_SO_FAR)
    op.alter_column("webhook_fanout", "position", nullable=False)
    op.drop_column("webhook_fanout", "transaction_id")
    op.drop_column("webhook_fanout", "outbox_id")
    op.add_column(
        "webhooks",
        sa.Column(
            "since_position",
            sa.BigInteger,
            comment="it gets the events after this one: the last there was when it was made",
        ),
    )
    op.execute(WANTED_SINCE)
    op.alter_column("webhooks", "since_position", server_default=sa.text("outbox_end()"), nullable=False)
    op.drop_column("webhooks", "since_transaction")
    op.drop_index("outbox_transaction_id_id_idx", "outbox")
    op.drop_column("outbox", "transaction_id")
    op.execute(PLACE)
    op.execute(ON_INSERT)


def downgrade() -> None:
    op.execute(ALONE)
    op.execute("DROP TRIGGER place_in_outbox ON outbox")
    op.execute("DROP FUNCTION place_in_outbox()")
    op.add_column(
        "outbox",
        sa.Column(
            "transaction_id",
            TransactionId(),
            server_default=sa.text("pg_current_xact_id()"),
            nullable=False,
            comment="readers go by (transaction_id, id) below the oldest running transaction, and skip nothing",
        ),
    )
    op.execute(TRANSACTIONS_AGAIN)
    op.create_index("outbox_transaction_id_id_idx", "outbox", ["transaction_id", "id"])
    op.add_column(
        "webhooks",
        sa.Column(
            "since_transaction",
            TransactionId(),
            server_default=sa.text("pg_snapshot_xmin(pg_current_snapshot())"),
            nullable=False,
            comment="it gets the events of this and later transactions: of all that were not over when it was made",
        ),
    )
    op.execute(WANTED_AGAIN)
    op.drop_column("webhooks", "since_position")
    op.add_column("webhook_fanout", sa.Column("transaction_id", TransactionId()))
    op.add_column("webhook_fanout", sa.Column("outbox_id", sa.BigInteger))
    op.execute(HANDED_ON_AGAIN)
    op.alter_column("webhook_fanout", "transaction_id", nullable=False)
    op.alter_column("webhook_fanout", "outbox_id", nullable=False)
    op.drop_column("webhook_fanout", "position")
    op.execute("DROP FUNCTION outbox_end()")
    op.execute("DELETE FROM outbox_pruned")
    op.add_column("outbox_pruned", sa.Column("transaction_id", TransactionId(), nullable=False))
    op.add_column("outbox_pruned", sa.Column("id", sa.BigInteger, nullable=False))
    op.drop_column("outbox_pruned", "position")
    op.drop_index("outbox_position_idx", "outbox")
    op.drop_column("outbox", "position")
    op.execute("DROP SEQUENCE outbox_position")
