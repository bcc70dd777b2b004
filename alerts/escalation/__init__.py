"""Who is told of an incident, when, by which channel, and why; or why not."""
