"""What crosses the HTTP interface, one noun a file; strict on the way in, UTC with Z on the way out."""
