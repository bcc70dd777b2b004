"""Who may do what in the database: its users, and the rights of the service's own on each table."""
