"""Faults of machines under a voyage: everything that happens is on a log of operations, which one checker judges."""
