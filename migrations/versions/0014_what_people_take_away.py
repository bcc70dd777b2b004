"""What people take away from the record stays on it: the act on revisions of excursions, why a handover does not fit.

How far the acts on each shipment are judged is kept, so that each is looked at once. A courier's key stays in one
organization: keys of shipments of one are bound to it, and those of shipments of several are revoked.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ACT = "{step, by, at, reason} of a person, where this revision takes away from what was on record"

BEFORE = "escalation, handover, assigned, destination, taken, resolved, digest or test"
AFTER = "escalation, handover, assigned, destination, taken, resolved, withdrawn, digest or test"

BIND = """
UPDATE api_keys AS k SET organization = o.organization
FROM (
    SELECT a.id, min(s.organization) AS organization FROM api_keys AS a
        JOIN shipments AS s ON s.shipment_id = ANY(a.shipment_ids)
    WHERE a.role = 'courier' AND a.organization IS NULL
    GROUP BY a.id HAVING count(DISTINCT coalesce(s.organization, '')) = 1
) AS o WHERE o.id = k.id AND o.organization IS NOT NULL
"""
REVOKE = """
UPDATE api_keys AS k SET revoked_at = now()
FROM (
    SELECT a.id FROM api_keys AS a JOIN shipments AS s ON s.shipment_id = ANY(a.shipment_ids)
    WHERE a.role = 'courier' AND a.organization IS NULL
    GROUP BY a.id HAVING count(DISTINCT coalesce(s.organization, '')) > 1
) AS o WHERE o.id = k.id AND k.revoked_at IS NULL
"""
# What was done before is as good as judged: nobody can say any more what came of it.
JUDGED = """
UPDATE evaluations AS e SET judged_revision = r.revision
FROM (SELECT shipment_id, max(revision) AS revision FROM shipment_revisions GROUP BY shipment_id) AS r
WHERE r.shipment_id = e.shipment_id
"""


def upgrade() -> None:
    for table in ("excursions", "excursion_revisions"):
        op.add_column(table, sa.Column("act", JSONB(none_as_null=True), comment=ACT))
    op.add_column(
        "evaluations",
        sa.Column(
            "judged_revision",
            sa.Integer,
            nullable=False,
            server_default="0",
            comment="of the shipment, up to which it is judged what people did",
        ),
    )
    op.execute(JUDGED)
    op.add_column(
        "handovers",
        sa.Column(
            "override_reason", sa.Text, comment="why it is on record although it does not fit; null: it fits"
        ),
    )
    op.alter_column("notifications", "purpose", comment=AFTER, existing_comment=BEFORE)
    op.execute(BIND)
    op.execute(REVOKE)


def downgrade() -> None:
    op.alter_column("notifications", "purpose", comment=BEFORE, existing_comment=AFTER)
    op.drop_column("handovers", "override_reason")
    op.drop_column("evaluations", "judged_revision")
    for table in ("excursion_revisions", "excursions"):
        op.drop_column(table, "act")
