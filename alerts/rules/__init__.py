"""Pure: the alert rules: what each one finds in a logger's readings and in the plan of its shipment."""
