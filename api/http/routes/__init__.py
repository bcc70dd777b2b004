"""The calls of the HTTP interface, one noun a file."""
