"""What travels with shipments: loggers and shippers, registered, put on and taken off, and held against their papers."""
