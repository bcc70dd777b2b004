"""Everything that faces the outside: settings, commands, HTTP, pages, and the composition root."""
