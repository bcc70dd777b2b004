"""A fleet of simulated loggers: who they are, and how they reach the service."""
