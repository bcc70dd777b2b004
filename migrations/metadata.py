"""The one MetaData, with the tables of every package in it."""

import alerts.escalation.tables
import alerts.tables
import alerts.webhooks.tables
import api.identity.tables
import api.security.tables
import telemetry.tables

metadata = telemetry.tables.metadata

__all__ = ["alerts", "api", "metadata"]
