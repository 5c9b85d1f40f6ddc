"""Watches a piece of code for pickle: in the tests of every room that a run consists of."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

NUMBA_CACHE = "numba/core/caching.py"  # reads compiled kernels from a folder that is the user's own
# what that calls to put a kernel together again
_ITS_OWN = ("numba/core/serialize.py", "numba/cloudpickle/")
_CALLS = ("load", "loads", "dump", "dumps")


@dataclass
class Seen:
    """calls: who pickled or unpickled, but for numba's kernels.

    cached: how often a kernel was read from or written to numba's cache
    constants: how often a kernel made one of its own constants, whose bytes are part of its code
    """

    calls: list[str] = field(default_factory=list)
    cached: int = 0
    constants: int = 0

    def take(self, what: str, frame: FrameType | None) -> None:
        """Note one call; frame: of the caller."""
        names = []
        while frame is not None:
            if frame.f_code.co_name == "_numba_unpickle":
                self.constants += 1
                return
            name, frame = frame.f_code.co_filename.replace("\\", "/"), frame.f_back
            if name.endswith(NUMBA_CACHE):
                self.cached += 1
                return
            if name == __file__:  # the guard below
                continue
            names.append(name)
            if not any(own in name for own in _ITS_OWN):
                break
        self.calls.append(f"{what} by {' < '.join(names)}")


_watching: list[Seen] = []
_hooked: list[bool] = []


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event == "pickle.find_class" and _watching:
        what = ".".join(map(str, arguments[:2]))
        _watching[-1].take(f"find_class {what}", sys._getframe(1))


@contextmanager
def watched() -> Iterator[Seen]:
    """Everything that is pickled or unpickled meanwhile, in any thread of this process."""
    if not _hooked:  # an audit hook stays until the process ends
        sys.addaudithook(_hook)
        _hooked.append(True)
    seen = Seen()
    originals = {name: getattr(pickle, name) for name in _CALLS}

    def guard(name: str):
        def guarded(*arguments, **settings):
            seen.take(f"pickle.{name}", sys._getframe(1))
            return originals[name](*arguments, **settings)

        return guarded

    for name in _CALLS:
        setattr(pickle, name, guard(name))
    _watching.append(seen)
    try:
        yield seen
    finally:
        _watching.remove(seen)
        for name, original in originals.items():
            setattr(pickle, name, original)
