"""The benchmarks: the real service on real servers, each figure beside its limit and a peer of the same run."""
