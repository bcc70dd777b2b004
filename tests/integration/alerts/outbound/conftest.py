"""Endpoints, as the webhooks of partners have them: the first of those who send by these connections."""

from tests.integration.alerts.webhooks.conftest import hooks

__all__ = ["hooks"]
