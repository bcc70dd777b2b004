"""Pure: shippers, lanes, weather and time: the world that journeys go through."""
