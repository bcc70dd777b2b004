"""Pure: what a logger is made of, and what can be wrong with it."""
