"""Pure: the building blocks that rules share."""
