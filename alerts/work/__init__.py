"""Queues, pacing, wake-ups and bulk statements, for any kind of work."""
