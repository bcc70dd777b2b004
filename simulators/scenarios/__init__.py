"""What happens to shipments and loggers, as files."""
