"""The database schema's history, and the one function that brings it up to date."""
