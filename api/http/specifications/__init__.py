"""The documents that describe the service to programs: OpenAPI for its routes, AsyncAPI for its messages."""
