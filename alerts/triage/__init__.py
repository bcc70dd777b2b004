"""From conditions to alerts and incidents that people own."""
