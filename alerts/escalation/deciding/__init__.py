"""Pure: the decision about who is told of an incident now, and why, or why not."""
