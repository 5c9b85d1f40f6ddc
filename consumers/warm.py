"""Compile every kernel of every consumer once, by a scan of sixteen small frames."""

from __future__ import annotations

import numpy as np

from ..stream.messages import Axis, Detector, Focus, ScanStart, Trajectory
from .catalogue import configs
from .reducer import consumers_of

SHAPE = (64, 200)
_PONI = """poni_version: 2.1
Detector: Detector
Detector_config: {"pixel1": 0.0004, "pixel2": 0.0004, "orientation": 3}
Distance: 0.41
Poni1: 0.0128
Poni2: 0.0
Rot1: 0.0
Rot2: 0.0
Rot3: 0.0
Wavelength: 2.4796e-11
"""


def warm_consumers() -> None:
    """Run each consumer's verbs on each pixel type; what is compiled stays in Numba's cache."""
    rng = np.random.default_rng(1)
    for dtype in ("uint8", "uint16", "uint32"):
        frame = rng.poisson(20.0, SHAPE).astype(dtype)
        for technique in ("xrdct", "frames"):
            start = _start(dtype, technique)
            everything = {name: config() for name, config in configs().items()}
            for consumer in consumers_of(start, everything).values():
                for index in range(start.frames):
                    consumer.absorb(index, consumer.reduce(index, frame))
                list(consumer.results(focus=Focus("", 3, 3)))
                list(consumer.results(final=True))


def _start(dtype: str, technique: str) -> ScanStart:
    axes = (
        Axis("rotation", "deg", np.repeat([0.0, 90.0], 8)),
        Axis("translation", "um", np.tile(np.arange(8) - 3.5, 2)),
    )
    return ScanStart(
        run="warm", scan="warm", number=1, technique=technique, frames=16,
        detector=Detector("warm", SHAPE, dtype, (4e-4, 4e-4), 2**31),
        trajectory=Trajectory((2, 8), axes), poni=_PONI, energy_ev=float("nan"), exposure_s=0.01,
        cell=None, time=0.0,
    )  # fmt: skip
