"""What passes between simulated loggers and the service: MQTT messages, acknowledgements, API calls, recordings."""
