"""Compile every kernel once and leave it in the cache."""

from __future__ import annotations

import time
from collections.abc import Callable


def warm_kernels(say: Callable[[str], None]) -> None:
    """Run a small scan through every consumer, and the twin's kernels once; says how long."""
    from ..consumers.warm import warm_consumers
    from ..sim.twin import warm_twin

    for what, warm in (("consumers", warm_consumers), ("twin", warm_twin)):
        began = time.monotonic()
        warm()
        say(f"kernels of the {what}: ready in {time.monotonic() - began:.1f} s")
