"""What a caller can take of the process before a route sees the call: sockets, bytes and seconds."""
