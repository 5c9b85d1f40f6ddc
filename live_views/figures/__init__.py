"""Figures of a finished run at the size of a journal's column, as vectors and pictures."""
