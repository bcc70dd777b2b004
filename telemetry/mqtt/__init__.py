"""MQTT: receive messages from the broker, hand them to ingest, and acknowledge them after the commit."""
