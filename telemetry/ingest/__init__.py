"""From bytes to stored readings: decode, validate, store, answer."""
