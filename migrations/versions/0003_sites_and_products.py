"""Sites, products and dewars with their revisions, charges of dewars, and the schedule in the revisions of shipments."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INSTANT = postgresql.TIMESTAMP(timezone=True)
IDENTIFIER = sa.Text(collation="C")
JSONB = postgresql.JSONB(astext_type=sa.Text())

STEPS_BEFORE = "created, departed, delivered, cancelled or plan_changed"
STEPS = "created, departed, delivered, cancelled, plan_changed or schedule_changed"
REASON_BEFORE = "in the words of whoever changed the plan"
REASON = "in the words of whoever changed the plan or the schedule"

# None of these could be changed until now, so every revision had them as they are.
FILL_SHIPMENT_REVISIONS = """
UPDATE shipment_revisions AS r SET dewar_id = s.dewar_id, origin = s.origin, destination = s.destination, legs = s.legs,
    planned_departure = s.planned_departure, planned_arrival = s.planned_arrival, packed_out_at = s.packed_out_at,
    use_by = s.use_by
FROM shipments AS s WHERE s.shipment_id = r.shipment_id
"""

# A charge that was known when the dewar was registered is taken to have been known from then on.
FILL_DEWAR_CHARGES = """
INSERT INTO dewar_charges (dewar_id, charged_at, recorded_at, "by")
SELECT dewar_id, last_charged_at, created_at, 'migration' FROM dewars WHERE last_charged_at IS NOT NULL
"""


FILL_DEWAR_REVISIONS = """
UPDATE dewars SET updated_at = created_at;
INSERT INTO dewar_revisions (dewar_id, revision, recorded_at, "by", content)
SELECT dewar_id, 1, created_at, 'migration', to_jsonb(dewars) FROM dewars
"""


def upgrade() -> None:
    _make_dewar_charges()
    _make_dewar_revisions()
    _make_sites()
    _make_products()
    for column in _schedule():
        op.add_column("shipment_revisions", column)
    op.alter_column("shipment_revisions", "step", comment=STEPS, existing_comment=STEPS_BEFORE)
    op.alter_column("shipment_revisions", "reason", comment=REASON, existing_comment=REASON_BEFORE)
    op.execute(FILL_SHIPMENT_REVISIONS)
    # At the end: from here on, until the commit, nobody else can look at shipments.
    op.add_column(
        "shipments",
        sa.Column("use_within_h", sa.Double(), comment="the product's when the shipment was made"),
    )


def downgrade() -> None:
    op.drop_column("shipments", "use_within_h")
    op.alter_column("shipment_revisions", "reason", comment=REASON_BEFORE, existing_comment=REASON)
    op.alter_column("shipment_revisions", "step", comment=STEPS_BEFORE, existing_comment=STEPS)
    for column in reversed(_schedule()):
        op.drop_column("shipment_revisions", column.name)
    for table in (
        "product_revisions",
        "products",
        "site_revisions",
        "sites",
        "dewar_revisions",
        "dewar_charges",
    ):
        op.drop_table(table)
    for name in ("updated_by", "updated_at", "revision"):
        op.drop_column("dewars", name)


def _schedule() -> list[sa.Column[object]]:
    return [
        sa.Column("dewar_id", IDENTIFIER),
        sa.Column("origin", sa.Text()),
        sa.Column("destination", sa.Text()),
        sa.Column("legs", JSONB, server_default="[]", nullable=False),
        sa.Column("planned_departure", INSTANT),
        sa.Column("planned_arrival", INSTANT),
        sa.Column("packed_out_at", INSTANT),
        sa.Column("use_by", INSTANT),
    ]


def _make_dewar_charges() -> None:
    op.create_table(
        "dewar_charges",
        sa.Column("dewar_id", IDENTIFIER, nullable=False),
        sa.Column("charged_at", INSTANT, nullable=False),
        sa.Column("ln2_kg", sa.Double(), comment="nitrogen in it after the charge"),
        sa.Column("recorded_at", INSTANT, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("by", sa.Text(), nullable=False, comment="a key's name"),
        sa.ForeignKeyConstraint(["dewar_id"], ["dewars.dewar_id"], name=op.f("dewar_charges_dewar_id_fkey")),
        sa.PrimaryKeyConstraint("dewar_id", "charged_at", name=op.f("dewar_charges_pkey")),
        comment="rows are only added; the newest is last_charged_at of the dewar",
    )
    op.execute(FILL_DEWAR_CHARGES)


def _make_dewar_revisions() -> None:
    op.add_column("dewars", sa.Column("revision", sa.Integer(), server_default="1", nullable=False))
    op.add_column("dewars", sa.Column("updated_at", INSTANT, server_default=sa.func.now(), nullable=False))
    op.add_column(
        "dewars",
        sa.Column("updated_by", sa.Text(), comment="a key's name; null: registered before that was kept"),
    )
    _make_revisions("dewar")
    for statement in FILL_DEWAR_REVISIONS.split(";"):
        op.execute(statement)


def _make_sites() -> None:
    op.create_table(
        "sites",
        sa.Column("site_id", IDENTIFIER, nullable=False),
        sa.Column("organization", IDENTIFIER, comment="null: everybody's"),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text()),
        sa.Column("lat", sa.Double(), nullable=False),
        sa.Column("lon", sa.Double(), nullable=False),
        sa.Column("radius_m", sa.Double(), nullable=False, comment="of the geofence"),
        sa.Column("timezone", sa.Text(), nullable=False, comment="IANA name"),
        sa.Column("stores", postgresql.ARRAY(sa.Text()), comment="bands; null: not known"),
        sa.Column("receiving_hours", JSONB, comment="null: always open"),
        sa.Column("contacts", JSONB, server_default="[]", nullable=False),
        sa.Column("note", sa.Text()),
        *_bookkeeping(),
        sa.ForeignKeyConstraint(
            ["organization"], ["organizations.slug"], name=op.f("sites_organization_fkey")
        ),
        sa.PrimaryKeyConstraint("site_id", name=op.f("sites_pkey")),
    )
    _make_revisions("site")


def _make_products() -> None:
    op.create_table(
        "products",
        sa.Column("product_id", IDENTIFIER, nullable=False),
        sa.Column("organization", IDENTIFIER, comment="null: everybody's"),
        sa.Column("name", sa.Text()),
        sa.Column("band", sa.Text(), nullable=False),
        sa.Column("plan", JSONB, nullable=False, comment="every limit and time of the plan, resolved"),
        sa.Column("use_within_h", sa.Double(), comment="from pack-out to use"),
        sa.Column("note", sa.Text()),
        *_bookkeeping(),
        sa.ForeignKeyConstraint(
            ["organization"], ["organizations.slug"], name=op.f("products_organization_fkey")
        ),
        sa.PrimaryKeyConstraint("product_id", name=op.f("products_pkey")),
    )
    _make_revisions("product")


def _bookkeeping() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False, comment="a key's name"),
    )


def _make_revisions(noun: str) -> None:
    op.create_table(
        f"{noun}_revisions",
        sa.Column(f"{noun}_id", IDENTIFIER, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False, comment="a key's name"),
        sa.Column("reason", sa.Text()),
        sa.Column("content", JSONB, nullable=False, comment=f"the whole row of {noun}s"),
        sa.ForeignKeyConstraint(
            [f"{noun}_id"], [f"{noun}s.{noun}_id"], name=op.f(f"{noun}_revisions_{noun}_id_fkey")
        ),
        sa.PrimaryKeyConstraint(f"{noun}_id", "revision", name=op.f(f"{noun}_revisions_pkey")),
        comment=f"every state a {noun} was ever in; nothing is deleted",
    )
