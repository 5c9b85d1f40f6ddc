"""Bluesky plans: run the cell, pause it, scan, resume, leave it safe."""
