"""From stored readings to excursions, alerts and the events that tell of them."""
