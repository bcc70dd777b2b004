"""Products: templates for the plans of shipments."""

from telemetry.registry.revisioned_table import RevisionedTable
from telemetry.tables import product_revisions, products

PRODUCTS = RevisionedTable(
    table=products,
    revisions=product_revisions,
    key=products.c.product_id,
    searched=(products.c.product_id, products.c.name, products.c.organization),
)
