"""The frames of the chain benchmark: made once, kept compressed in the user's cache folder.

The sample is a round electrode of rings of spinel with pores between them, turning about its
middle: every projection of it is the same, so one line of 351 frames is a whole tomogram. Rings
farther out are lithiated further. Counts are those of 10 ms: some photons a pixel.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from operando.stream import compression

from . import data

RECIPE = 4  # of the frames; a new one makes new files
TRANSLATIONS = 351  # of 1 um
# inner radius, outer radius [um], lattice parameter [Å]
SHELLS = (
    (0, 34, 8.06),
    (42, 70, 8.10),
    (80, 104, 8.14),
    (112, 132, 8.19),
    (140, 158, 8.23),
)
RING_COUNTS = 20.0  # at the top of the strongest ring, behind the longest way through
AIR_COUNTS = 2.5  # of what surrounds the sample, at large q


@dataclass(frozen=True, slots=True)
class Line:
    """One projection as compressed frames, one for each translation.

    payloads: bslz4; poni, mask: of the detector
    """

    detector: data.Detector
    dtype: str
    payloads: tuple[bytes, ...]
    poni: str
    mask: NDArray[np.bool_]

    def mean_bytes(self) -> float:
        """Of a compressed frame."""
        return sum(map(len, self.payloads)) / len(self.payloads)


def places_um() -> NDArray[np.float64]:
    """The translations."""
    return np.arange(TRANSLATIONS) - 0.5 * (TRANSLATIONS - 1)


def line(detector: data.Detector, say: Callable[[str], None], dtype: str = "uint32") -> Line:
    """The line of a detector, from the cache or made now, which takes half a minute."""
    folder = _cache() / f"{detector.name.replace(' ', '-')}-{dtype}-{RECIPE}"
    camera = data.Camera(detector, dtype)
    if not (folder / "lengths.json").is_file():
        say(f"making {TRANSLATIONS} frames of {detector.name} in {folder}")
        _make(camera, folder)
    lengths = json.loads((folder / "lengths.json").read_text())
    raw = (folder / "frames.bin").read_bytes()
    ends = np.cumsum(lengths)
    payloads = tuple(raw[end - length : end] for end, length in zip(ends, lengths, strict=True))
    return Line(detector, dtype, payloads, camera.poni, camera.mask)


def _make(camera: data.Camera, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    spinel = [camera.sample.spinel(a) for _, _, a in SHELLS]
    around = AIR_COUNTS * camera.sample.surroundings()
    lengths = []
    with (folder / "frames.bin").open("wb") as file:
        for number, place in enumerate(places_um()):
            means = around.copy()
            for pattern, (inner, outer, _) in zip(spinel, SHELLS, strict=True):
                way = _chord(place, outer) - _chord(place, inner)
                means += RING_COUNTS * way / (2 * SHELLS[-1][1]) * pattern
            payload = compression.encode(camera.frame(means, number, spots=20), "bslz4")
            file.write(payload)
            lengths.append(len(payload))
    (folder / "lengths.json").write_text(json.dumps(lengths))


def _chord(place: float, radius: float) -> float:
    return 2 * math.sqrt(max(radius**2 - place**2, 0.0))


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "operando" / "benchmarks"
