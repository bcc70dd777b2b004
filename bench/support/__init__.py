"""What the benchmarks stand on: servers, publishers and consumers, peers to compare with, and reports."""
