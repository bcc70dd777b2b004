"""Alerts and incidents: raised from conditions, owned and acted on by people."""
