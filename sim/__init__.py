"""The digital twin: cell, samples, forward models, and servers that speak the real protocols."""
