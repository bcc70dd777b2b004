"""Replay: readings that already exist, from a recording or a logger's CSV, sent over MQTT or posted to the API."""
