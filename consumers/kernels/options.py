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

Numba keeps compiled code while the file of a function stays as it is. But what a kernel calls is
compiled into it, from other files as well: after a change there the old code would run on without
a word. fresh() lets what is kept depend on every file beside the function's.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypedDict

from numba import njit


class JitOptions(TypedDict):
    """The keyword arguments of numba.njit that this project uses."""

    nogil: bool
    cache: bool
    error_model: str


class FusedOptions(JitOptions):
    """JitOptions, and what fastmath may do."""

    fastmath: set[str]


KERNEL: Final = JitOptions(nogil=True, cache=True, error_model="numpy")
FUSED: Final = FusedOptions(**KERNEL, fastmath={"contract"})
SUMS: Final = FusedOptions(**KERNEL, fastmath={"contract", "reassoc", "nsz"})


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function of arrays."""
    return fresh(njit(**KERNEL)(function))


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function of numbers into those that call it.

    For what runs once a pixel: a call would cost more than it does, and LLVM does not always see
    that. Not for functions that take arrays: Numba would count these as in use at every call.
    """
    return fresh(njit(**KERNEL, forceinline=True)(function))


def fresh(compiled: Any) -> Any:
    """Let what is kept of a compiled function depend on all Python files beside its own."""
    folder = Path(compiled.py_func.__code__.co_filename).parent
    try:
        kept = compiled._cache._cache_file
        kept._source_stamp = (kept._source_stamp, _sources(folder))
    except AttributeError:  # another Numba: compile in every process rather than run old code
        options = {k: v for k, v in compiled.targetoptions.items() if k != "nopython"}
        return njit(**options)(compiled.py_func)
    return compiled


@functools.cache
def _sources(folder: Path) -> str:
    """What all Python files of a folder hold, in short."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
