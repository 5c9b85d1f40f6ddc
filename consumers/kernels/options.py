"""How the kernels are compiled, in one place, with the reasons.

nogil: kernels touch arrays only, so a pool of threads may run them side by side.
cache: compilation takes seconds and belongs to the first run of a machine, not to every process.
error_model numpy: a division is one instruction; kernels divide by what was checked at the border.

fastmath and parallel are off. fastmath lets the compiler reorder sums, and a final map has to come
out the same, bit for bit, from a replay; the kernels below get their speed from data layout. A
machine's cores are filled with frames, one a thread, not with pieces of one frame.
"""

from __future__ import annotations

from typing import Final, TypedDict


class JitOptions(TypedDict):
    """The keyword arguments of numba.njit that this project uses."""

    nogil: bool
    cache: bool
    error_model: str


KERNEL: Final = JitOptions(nogil=True, cache=True, error_model="numpy")
