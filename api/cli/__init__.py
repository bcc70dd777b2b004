"""The `dewarwatch` command."""
