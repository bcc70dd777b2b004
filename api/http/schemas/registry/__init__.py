"""Request and response bodies for what is registered: loggers, dewars, loans, sites and products."""
