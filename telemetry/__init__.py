"""From a logger's bytes to trusted, stored readings."""
