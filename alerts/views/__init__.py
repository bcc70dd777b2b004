"""Read models: what the API, the pages and the documents show."""
