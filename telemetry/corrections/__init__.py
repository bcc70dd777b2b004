"""Corrections of loggers' clocks, on record: readings get the time that they were measured at, and get it taken away again."""
