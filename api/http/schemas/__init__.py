"""Request and response bodies of the HTTP API, one noun per file; strict on input, UTC with Z on output."""
