"""Accuracy, speed and memory, measured; run as modules: `python -m benchmarks.accuracy --help`."""
