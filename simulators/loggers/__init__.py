"""Pure: what a logger makes of the true temperatures: its probes, clock, battery, memory, restarts and faults."""
