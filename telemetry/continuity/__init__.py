"""Whether the database is still the one that was written to: a pulse in it, and what is remembered of it elsewhere."""
