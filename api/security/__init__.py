"""The security log: who came in, who was refused, and who changed keys, passwords and webhooks."""
