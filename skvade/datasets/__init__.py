"""Benchmark data, from local files or from OpenML."""

from skvade.datasets._benchmarks import fetch_benchmark

__all__ = ["fetch_benchmark"]
