"""Compiling the kernels before the first frame instead of at it.

Compilation takes some ten seconds on a machine's first run and a fraction of one afterwards, from
numba's cache. A process that calls warm_up() when it starts has this behind it when beam comes.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..stream.compression import encode
from ..stream.messages import Axis, Detector, Focus, Frame, ScanStart, Trajectory
from .catalogue import make_consumer
from .contract import ScanNotForThis
from .decoding import FrameDecoder

_PONI = "Distance: 0.012\nPoni1: 0.0032\nPoni2: 0.0032\nWavelength: 2.5e-11\n"
_SHAPE = (64, 64)


def warm_up(configs: Iterable[tuple[str, object]], dtypes: Iterable[str] = ("uint16",)) -> None:
    """Take a tiny scan of each pixel type through consumers of these names and configurations."""
    pairs = list(configs)
    for dtype in dtypes:
        for technique in ("xrdct", "frames"):
            start = _tiny_scan(technique, dtype)
            pixels = np.random.default_rng(0).poisson(20, _SHAPE).astype(dtype)
            packed = encode(pixels, "bslz4")
            pixels = FrameDecoder()(Frame("", 0, _SHAPE, dtype, "bslz4", packed, 0))
            for name, config in pairs:
                try:
                    consumer = make_consumer(name, config, start)
                except ScanNotForThis:
                    continue
                for index in range(start.frames):
                    consumer.absorb(index, consumer.reduce(index, pixels))
                for final in (False, True):
                    list(consumer.results(final))
                    list(consumer.details(Focus(start.scan, 2, 2)))


def _tiny_scan(technique: str, dtype: str) -> ScanStart:
    rotation, translation = np.divmod(np.arange(20), 5)
    axes = (
        Axis("rotation", "deg", 45.0 * rotation),
        Axis("translation", "um", translation - 2.0),
    )
    top = int(np.iinfo(dtype).max)
    detector = Detector("none", _SHAPE, dtype, (1e-4, 1e-4), top)
    return ScanStart(
        "", f"warm-up {technique}", 0, technique, 20, detector, Trajectory((4, 5), axes), _PONI,
        float("nan"), 1.0, None, 0.0,
    )  # fmt: skip
