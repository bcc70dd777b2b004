"""How much of the service one caller may take: the table of limits, and the counting."""
