"""Live analyses, one module a technique, on top of pure Numba kernels."""
