"""Answers that are not made anew for each who asks."""
