"""Benchmarks: `python -m bench` measures all but the longest and writes the tables into `bench/README.md`.

Each figure is taken in a process of its own, so that its peak memory is its own; what is compared runs in turns, A B A
B, so that what else the machine does falls on both. Data is seeded, made once, and kept under the temporary folder.
"""
