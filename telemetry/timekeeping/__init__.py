"""Loggers whose clock is wrong: which times cannot be, which fault it probably is, and what was refused of whom when."""
