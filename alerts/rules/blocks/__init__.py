"""Pure: what rules are made of."""
