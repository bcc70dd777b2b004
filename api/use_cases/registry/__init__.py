"""What people register and describe: loggers, dewars and their loans, sites, products, contacts and policies."""
