"""Replay: recordings and the CSV files of loggers, sent over MQTT or posted to the API."""
