"""Webhooks: events of the outbox, sent to the endpoints of partners until each has taken them."""
