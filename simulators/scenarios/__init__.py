"""Scenarios: what happens to the shipments and loggers of a fleet."""
