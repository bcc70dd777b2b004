"""Faults of the service itself: each process says what of it does not work, and one alert for each part follows that."""
