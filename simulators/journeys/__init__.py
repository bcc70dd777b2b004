"""Pure: one shipment on its way with its one logger."""
