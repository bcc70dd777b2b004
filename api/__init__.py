"""Everything that faces outward: settings, commands, HTTP, and the composition root."""
