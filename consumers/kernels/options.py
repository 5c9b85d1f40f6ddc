"""How the kernels are compiled, in one place, with the reasons.

nogil: kernels touch arrays only, so a pool of threads may run them side by side.
cache: compilation takes seconds and belongs to the first run of a machine, not to every process.
error_model numpy: a division is one instruction; kernels divide by what was checked at the border.

fastmath and parallel are off. fastmath lets the compiler reorder sums, and a final map has to come
out the same, bit for bit, from a replay; the kernels below get their speed from data layout. A
machine's cores are filled with frames, one a thread, not with pieces of one frame.

Of fastmath only "contract" is used (FUSED), where sums of products are all there is: a product and
the sum it goes into are rounded once instead of twice. The order of sums stays what is written.
Fits add up dozens of products that lie side by side; there the compiler may choose one order for
all vectors (SUMS): chosen when it compiles, so a machine's answers repeat, bit for bit.
"""

from __future__ import annotations

from typing import Final, TypedDict


class JitOptions(TypedDict):
    """The keyword arguments of numba.njit that this project uses."""

    nogil: bool
    cache: bool
    error_model: str


class InlinedOptions(JitOptions):
    """The same for what runs once a pixel."""

    forceinline: bool


class FusedOptions(JitOptions):
    """JitOptions, and what fastmath may do."""

    fastmath: set[str]


KERNEL: Final = JitOptions(nogil=True, cache=True, error_model="numpy")
FUSED: Final = FusedOptions(**KERNEL, fastmath={"contract"})

# Small functions that run once a pixel: a call would cost more than they do, and LLVM does not
# always see that; it also hides from Numba that arrays need not be counted as in use.
INLINED: Final = InlinedOptions(nogil=True, cache=True, error_model="numpy", forceinline=True)
SUMS: Final = FusedOptions(**KERNEL, fastmath={"contract", "reassoc", "nsz"})
