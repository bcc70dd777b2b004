"""Who has a logger or a dewar when: organizations by loans, shipments by assignments."""
