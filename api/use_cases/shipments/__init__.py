"""What people do to shipments: the steps of their life, their plans and times, and who holds them."""
