"""What passes between simulated loggers and the service: messages, acknowledgements, HTTP calls."""
