"""Benchmarks of the real service on real servers, each with a limit and a peer measured in the same run."""
