"""Recorded traffic and exported files, sent to a service again."""
