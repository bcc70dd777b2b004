"""Tells everybody that the database went back: an alert of our own, and an event that passes every filter."""
