"""Routes of a shipment: its life, handovers, excursions and figures, and backtests of its plan."""
