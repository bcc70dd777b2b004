"""The world that shipments travel through: places, routes, weather, and the physics of shippers."""
