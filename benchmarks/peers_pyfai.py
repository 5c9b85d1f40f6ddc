"""pyFAI's compiled and interpreted engines on the processor."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import data
from .machine import version_of


@dataclass(frozen=True, slots=True)
class Engine:
    """One way in which pyFAI does it, e.g. ("no", "csc", "cython")."""

    split: str
    algorithm: str
    implementation: str

    def name(self) -> str:
        """In the table."""
        return f"pyFAI {self.split} {self.algorithm} {self.implementation}"

    def method(self) -> tuple[str, str, str]:
        """As pyFAI wants it."""
        return self.split, self.algorithm, self.implementation


MEAN_ENGINES = (
    Engine("no", "csc", "cython"),
    Engine("no", "csr", "cython"),
    Engine("no", "lut", "cython"),
    Engine("no", "histogram", "cython"),
    Engine("no", "csr", "python"),
    Engine("no", "csc", "python"),
    Engine("no", "histogram", "python"),
)
SPLIT_ENGINES = (
    Engine("bbox", "csc", "cython"),
    Engine("bbox", "csr", "cython"),
    Engine("bbox", "lut", "cython"),
    Engine("bbox", "histogram", "cython"),
    Engine("bbox", "csr", "python"),
)
MEDIAN_ENGINES = (Engine("no", "csr", "cython"), Engine("no", "csr", "python"))


def version() -> str:
    """Of pyFAI."""
    return version_of("pyFAI")


def pixel_widths(poni: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    """What every pixel sees, (pixels,): solid angle times polarisation, for the references."""
    integrator = _load(poni)
    seen = integrator.solidAngleArray(shape) * integrator.polarization(
        shape, factor=data.POLARISATION
    )
    return np.asarray(seen, np.float64).ravel()


def _load(poni: str) -> Any:
    import pyFAI

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "geometry.poni"
        path.write_text(poni)
        return pyFAI.load(str(path))


class Pyfai:
    """pyFAI set up for a camera's frames as a user would: .poni, mask, solid angle, polarisation.

    Its consistency checks between two frames of one geometry are off (safe=False): faster.
    """

    def __init__(self, camera: data.Camera, bins: int = data.BINS) -> None:
        self._integrator = _load(camera.poni)
        self._settings: dict[str, Any] = {
            "unit": "q_A^-1",
            "mask": camera.mask.astype(np.int8),
            "polarization_factor": data.POLARISATION,
            "radial_range": camera.detector.q_range,
        }
        self._bins = bins

    def mean(self, engine: Engine, errors: bool = False) -> Callable[[Any], Any]:
        """Mean of every ring; with errors also their Poisson sigma."""
        settings = dict(self._settings, method=engine.method())
        if errors:
            settings["error_model"] = "poisson"
        return self._after_check(self._integrator.integrate1d_ng, settings)

    def trimmed(self, engine: Engine, low: float, high: float) -> Callable[[Any], Any]:
        """Mean of the pixels between two percentiles of every ring."""
        settings = dict(self._settings, method=engine.method(), percentile=(low, high))
        return self._after_check(self._integrator.medfilt1d_ng, settings)

    def _after_check(self, call: Callable[..., Any], settings: dict[str, Any]) -> Any:
        """The first frame sets the engine up and is checked, later ones are not."""
        ready = False

        def run(pixels: Any) -> Any:
            nonlocal ready
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = call(pixels, self._bins, safe=not ready, **settings)
            ready = True
            return answer

        return run
