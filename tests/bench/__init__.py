"""Benchmarks: `make bench`. Ratios in one run, peers beside us."""
