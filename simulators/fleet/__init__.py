"""A fleet of simulated loggers: which journeys they make, and how their readings reach the service."""
