"""Pure: the CSV files that real loggers export, and how they are read."""
