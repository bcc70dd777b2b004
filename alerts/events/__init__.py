"""The outbox: events written with what they tell of, and kept for as long as consumers may need them."""
