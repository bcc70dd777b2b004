"""Pure: the rules, one a file: what each finds in a logger's readings and in what is planned for its shipment."""
