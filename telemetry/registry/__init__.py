"""The registry: organizations, devices, dewars, sites, products, shipments, and the assignment of devices to shipments."""
