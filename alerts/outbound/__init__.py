"""One safe way to any address outside: resolved, checked, connected, posted to."""
