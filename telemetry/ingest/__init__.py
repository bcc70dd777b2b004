"""The ingest pipeline: decode, validate, store, acknowledge."""
