"""What exists: organizations, devices, dewars, shipments, and which device was on which shipment when."""
