"""Simulated loggers, lanes and dewars; independent of the service that they exercise."""
