"""Pure: what a logger makes of the true temperatures: probes, clock, battery, memory, and faults."""
