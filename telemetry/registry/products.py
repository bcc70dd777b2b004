"""Products: templates for the plans of shipments."""

from telemetry.registry.revisioned_table import Register
from telemetry.tables import product_revisions, products

PRODUCTS = Register(
    table=products,
    revisions=product_revisions,
    key=products.c.product_id,
    mentions=(products.c.product_id, products.c.name, products.c.organization),
)
