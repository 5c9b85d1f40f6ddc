"""Side-by-side runs against the peers a user would pick instead: `python -m benchmarks`."""
