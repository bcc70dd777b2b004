"""Simulated shipments, dewars and loggers. They know nothing of the service that they test."""
