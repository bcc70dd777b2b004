"""The HTTP interface: routes, what surrounds them, and the documents that describe them."""
