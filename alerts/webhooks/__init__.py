"""Webhooks: sends events of the outbox to partners' endpoints, and retries until they are delivered."""
