"""Arrays in, arrays out: compiled kernels without objects, sockets or files."""
