"""Loggers and dewars are lent to organizations; a dewar is on one shipment at a time; charges say who held the dewar.

Whose a thing is by its last shipment, to them it is lent from the start of that on, so that they go on as before.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)
JSONB = postgresql.JSONB(astext_type=sa.Text())
IDENTIFIER = sa.Text(collation="C")

# Each shipment has its dewar from its pack-out, its departure or its making on, whichever came first, as its loggers.
# Two may have named one dewar for the same time. It is then that one's which departed first, and the other's from then
# on; one that has not departed comes after all that have, and has no time with the dewar while another is under way.
ASSIGN_DEWARS = """
INSERT INTO dewar_assignments (dewar_id, shipment_id, starts_at, ends_at)
SELECT dewar_id, shipment_id, greatest(starts_at, free_at), ends_at
FROM (
    SELECT *, max(coalesce(ends_at, 'infinity')) OVER (
        PARTITION BY dewar_id ORDER BY departed_at NULLS LAST, starts_at, shipment_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS free_at
    FROM (
        SELECT dewar_id, shipment_id, departed_at,
            least(created_at, departed_at, packed_out_at) AS starts_at, coalesce(delivered_at, cancelled_at) AS ends_at
        FROM shipments WHERE dewar_id IS NOT NULL AND NOT (departed_at IS NULL AND cancelled_at IS NOT NULL)
    ) AS named
) AS in_turn
WHERE greatest(starts_at, free_at) < coalesce(ends_at, 'infinity')
"""

LEND = """
INSERT INTO {noun}_loans ({noun}_id, organization, starts_at, "by", reason)
SELECT {noun}_id, organization, starts_at, 'migration', 'Its last shipment was of this organization'
FROM (
    SELECT DISTINCT ON (a.{noun}_id) a.{noun}_id, s.organization, a.starts_at
    FROM {noun}_assignments AS a JOIN shipments AS s USING (shipment_id)
    WHERE a.ends_at IS NULL OR a.ends_at > a.starts_at
    ORDER BY a.{noun}_id, a.starts_at DESC
) AS last WHERE organization IS NOT NULL
"""

# Whose key recorded it. A key of no organization that names shipments stands for the owner of the one in the dewar.
OWN_CHARGES = """
UPDATE dewar_charges AS c SET organization = coalesce(k.organization, (
    SELECT s.organization FROM shipments AS s
    WHERE s.dewar_id = c.dewar_id AND s.shipment_id = ANY (k.shipment_ids) ORDER BY s.created_at DESC LIMIT 1
))
FROM api_keys AS k WHERE c."by" = 'key:' || k.prefix
"""

# A charge of somebody else may have moved the forecast of what is under way: judge that again.
JUDGE_AGAIN = """
INSERT INTO evaluation_marks (shipment_id)
SELECT shipment_id FROM shipments AS s
WHERE s.status = 'in_transit' AND EXISTS (
    SELECT FROM dewar_charges AS c WHERE c.dewar_id = s.dewar_id AND c.organization <> coalesce(s.organization, ''))
"""


def upgrade() -> None:
    op.create_table(
        "dewar_assignments",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("dewar_id", IDENTIFIER, nullable=False),
        sa.Column("shipment_id", IDENTIFIER, nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, comment="half open; null while the shipment is under way"),
        sa.PrimaryKeyConstraint("id", name="dewar_assignments_pkey"),
        sa.ForeignKeyConstraint(["dewar_id"], ["dewars.dewar_id"], name="dewar_assignments_dewar_id_fkey"),
        sa.ForeignKeyConstraint(
            ["shipment_id"], ["shipments.shipment_id"], name="dewar_assignments_shipment_id_fkey"
        ),
        sa.UniqueConstraint("shipment_id", "dewar_id", name="dewar_assignments_shipment_id_dewar_id_key"),
        comment="never two at one instant for one dewar: registry.assign locks the dewar's row and looks",
    )
    op.create_index(
        "dewar_assignments_dewar_id_starts_at_idx", "dewar_assignments", ["dewar_id", "starts_at"]
    )
    for noun in ("device", "dewar"):
        _create_loans(noun)
    op.add_column(
        "dewar_charges",
        sa.Column(
            "organization",
            IDENTIFIER,
            sa.ForeignKey("organizations.slug", name="dewar_charges_organization_fkey"),
            comment="that held the dewar then, by a loan or a shipment, and told of it; null: the operating "
            "organization's word",
        ),
    )
    op.execute(ASSIGN_DEWARS)
    for noun in ("device", "dewar"):
        op.execute(LEND.format(noun=noun))
    op.execute(OWN_CHARGES)
    op.execute(JUDGE_AGAIN)


def _create_loans(noun: str) -> None:
    key, table = f"{noun}_id", f"{noun}_loans"
    op.create_table(
        table,
        sa.Column("id", sa.Uuid, server_default=sa.func.gen_random_uuid(), nullable=False),
        sa.Column(key, IDENTIFIER, nullable=False),
        sa.Column("organization", IDENTIFIER, nullable=False),
        sa.Column("starts_at", INSTANT, nullable=False),
        sa.Column("ends_at", INSTANT, comment="half open; null: until it is ended"),
        sa.Column("recorded_at", INSTANT, server_default=sa.func.clock_timestamp(), nullable=False),
        sa.Column("by", sa.Text, nullable=False, comment="a key's name"),
        sa.Column("reason", sa.Text),
        sa.Column(
            "changes",
            JSONB,
            server_default="[]",
            nullable=False,
            comment="[{changed_at, by, reason, was: {ends_at}}], the first one first",
        ),
        sa.PrimaryKeyConstraint("id", name=f"{table}_pkey"),
        sa.ForeignKeyConstraint([key], [f"{noun}s.{key}"], name=f"{table}_{key}_fkey"),
        sa.ForeignKeyConstraint(["organization"], ["organizations.slug"], name=f"{table}_organization_fkey"),
        sa.CheckConstraint("ends_at >= starts_at", name=f"{table}_not_backwards_check"),
        comment=f"never two at one instant for one {noun}; rows are never deleted",
    )
    op.create_index(f"{table}_{key}_starts_at_idx", table, [key, "starts_at"])
    op.create_index(f"{table}_organization_{key}_idx", table, ["organization", key])


def downgrade() -> None:
    op.drop_column("dewar_charges", "organization")
    for table in ("dewar_loans", "device_loans", "dewar_assignments"):
        op.drop_table(table)
