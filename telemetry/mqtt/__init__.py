"""The bridge from the broker to ingest."""
