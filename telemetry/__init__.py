"""Receive messages from loggers, validate them, and store their readings."""
