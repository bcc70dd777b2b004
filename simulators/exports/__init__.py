"""Pure: the files that real loggers export, read."""
