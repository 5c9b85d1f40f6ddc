"""Compile every kernel once and leave it in the cache."""

from __future__ import annotations

import time
from collections.abc import Callable

from .kernel_cache import require_own_cache


def warm_kernels(say: Callable[[str], None]) -> None:
    """Run small scans through every consumer and a frame of the twin; says how long it took.

    Exits with a line where others can write the cache.
    """
    require_own_cache()
    for what, warm in (("consumers", _warm_consumers), ("twin", _warm_twin)):
        began = time.monotonic()
        warm()
        say(f"kernels of the {what}: ready in {time.monotonic() - began:.1f} s")


def _warm_consumers() -> None:
    from ..consumers.catalogue import configs
    from ..consumers.phases import PhaseConfig
    from ..consumers.warm_up import warm_up
    from ..consumers.xrdct_config import XrdctConfig

    plain = [(name, config()) for name, config in configs().items()]
    phases = XrdctConfig(phases={"limn2o4": PhaseConfig(working=True)})
    warm_up([*plain, ("xrdct", phases)], ("uint8", "uint16", "uint32"))


def _warm_twin() -> None:
    from ..sim.twin import Twin, TwinConfig

    for dtype in ("uint16", "uint32"):
        twin = Twin(TwinConfig(dtype=dtype, shape=(64, 128), dead_modules=()))
        twin.begin_scan(1)
        twin.expose(0.0, 0.0, 0.01, 0)
