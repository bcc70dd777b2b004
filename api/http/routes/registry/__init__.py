"""Routes of what is registered: loggers, dewars, loans, sites, products, contacts and policies."""
