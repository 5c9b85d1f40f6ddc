"""From a pyFAI geometry to the table that the azimuthal kernel reads.

pyFAI owns geometry, solid angle and polarisation; it is imported here, when the first table is
made, because it takes a second. Tables are kept: building one takes a tenth of a second, and all
scans of a run usually share it.

A .poni may hold several calibrations, pyFAI appends; the last value of each key applies. Only its
numbers are read. Detector shape, pixel size and mask come from the ScanStart, so that a detector's
name or a file path inside a .poni decides nothing.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..stream.messages import Detector, ScanStart
from .contract import ScanNotForThis
from .kernels.azimuthal import MAX_WIDTH, WIDTH_UNIT
from .kernels.cells import MAX_RING_PIXELS, RingPixels, ring_pixels
from .kernels.splitting import Shares, share_out

if TYPE_CHECKING:
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

HC_EV_M = 1.239841984e-6  # Planck constant times speed of light (CODATA 2018) [eV m]
_PYFAI_UNITS = {"q": "q_A^-1", "two_theta": "2th_deg"}
UNITS = {"q": "1/Å", "two_theta": "deg"}


@dataclass(frozen=True, slots=True)
class Poni:
    """The numbers of a .poni: lengths in m, angles in rad, wavelength_m nan where it has none.

    pixel_m: (height, width), nan where it does not say
    orientation: pyFAI's number for the image's orientation, 0 where it does not say
    """

    distance: float
    poni1: float
    poni2: float
    rot1: float
    rot2: float
    rot3: float
    wavelength_m: float
    pixel_m: tuple[float, float]
    orientation: int


@dataclass(frozen=True, slots=True)
class RingTable:
    """Which ring each pixel belongs to and what it sees; see kernels/azimuthal.py.

    axis: "q" or "two_theta"
    ring: (pixels,) uint16; the number of rings where a pixel is masked or outside the range
    width: (pixels,) uint32
    pixels: ring and width in one word, see kernels/cells.py
    ring_width, ring_pixels: (rings,) int64
    centres: (rings,) float64, mean of the axis over a ring's pixels; the middle of an empty ring
    """

    axis: str
    ring: NDArray[np.uint16]
    width: NDArray[np.uint32]
    pixels: RingPixels
    ring_width: NDArray[np.int64]
    ring_pixels: NDArray[np.int64]
    centres: NDArray[np.float64]


def read_poni(text: str) -> Poni:
    """The numbers in the text of a .poni. Raises ScanNotForThis where it is none."""
    entries: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon and not key.lstrip().startswith("#"):
            entries[key.strip().lower()] = value.strip()
    try:
        config = json.loads(entries.get("detector_config", "{}"))
        number = functools.partial(_number, entries)
        return Poni(
            distance=number("distance"),
            poni1=number("poni1"),
            poni2=number("poni2"),
            rot1=number("rot1", 0.0),
            rot2=number("rot2", 0.0),
            rot3=number("rot3", 0.0),
            wavelength_m=number("wavelength", math.nan),
            pixel_m=(
                float(config.get("pixel1", number("pixelsize1", math.nan))),
                float(config.get("pixel2", number("pixelsize2", math.nan))),
            ),
            orientation=int(config.get("orientation", 0)),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise ScanNotForThis(f"geometry is no .poni: {error}") from None


def _number(entries: dict[str, str], key: str, default: float | None = None) -> float:
    value = entries.get(key, "None")
    if value == "None":
        if default is None:
            raise ValueError(f"it has no {key!r}")
        return default
    return float(value)


@dataclass(frozen=True, slots=True)
class SplitTable:
    """How each pixel is shared out over the axis; see kernels/splitting.py.

    centres: (rings,) float64, middles of the rings
    """

    axis: str
    shares: Shares
    centres: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Binning:
    """A pattern's axis: "q" [1/Å] or "two_theta" [deg], from low to high in bins."""

    axis: str
    low: float
    high: float
    bins: int

    def middles(self) -> NDArray[np.float64]:
        """Middle of every bin."""
        step = (self.high - self.low) / self.bins
        return np.asarray(self.low + (np.arange(self.bins) + 0.5) * step, np.float64)


def ring_table(start: ScanStart, binning: Binning, polarisation: float) -> RingTable:
    """The table for a scan's detector and geometry, every pixel in the ring of its centre.

    polarisation: degree of horizontal polarisation, -1 to 1

    Raises ScanNotForThis where the scan has no geometry or contradicts it.
    """
    return _ring_table(_key(start, binning), binning, polarisation)


def split_table(start: ScanStart, binning: Binning, polarisation: float) -> SplitTable:
    """The same for pixels that are shared out. Raises ScanNotForThis."""
    return _split_table(_key(start, binning), binning, polarisation)


@dataclass(frozen=True, slots=True)
class _Key:
    """What a table depends on besides its binning, in a form that can be looked up."""

    poni: str
    energy_ev: float
    shape: tuple[int, int]
    pixel_m: tuple[float, float]
    mask: bytes

    def hidden(self) -> NDArray[np.bool_]:
        pixels = self.shape[0] * self.shape[1]
        if not self.mask:
            return np.zeros(pixels, np.bool_)
        return np.unpackbits(np.frombuffer(self.mask, np.uint8), count=pixels).astype(np.bool_)


def _key(start: ScanStart, binning: Binning) -> _Key:
    if binning.axis not in _PYFAI_UNITS:
        raise ScanNotForThis(f"axis {binning.axis!r} is not one of {sorted(_PYFAI_UNITS)}")
    if not 0 <= binning.low < binning.high or not 1 <= binning.bins < 65535:
        raise ScanNotForThis(
            f"{binning.bins} bins from {binning.low} to {binning.high} make no pattern"
        )
    if not start.poni:
        raise ScanNotForThis("the scan carries no .poni geometry")
    detector = start.detector
    mask = b"" if detector.mask is None else np.packbits(detector.mask).tobytes()
    # nan is not equal to itself and would never be found again
    energy_ev = start.energy_ev if start.energy_ev > 0 else 0.0
    return _Key(start.poni, energy_ev, detector.shape, detector.pixel_m, mask)


def axis_reach(start: ScanStart, axis: str) -> float:
    """The largest value of the axis that a pixel of the scan sees, in the axis's unit.

    Raises ScanNotForThis where the scan has no geometry or contradicts it.
    """
    key = _key(start, Binning(axis, 0.0, 1.0, 1))
    positions, _, _ = _pyfai_arrays(key, axis, 0.0, corners=False)
    return float(positions.max())


@functools.lru_cache(maxsize=8)
def _ring_table(key: _Key, binning: Binning, polarisation: float) -> RingTable:
    positions, _, widths = _pyfai_arrays(key, binning.axis, polarisation, corners=False)
    bins = binning.bins
    ring = np.floor((positions - binning.low) * (bins / (binning.high - binning.low)))
    hidden = key.hidden() | (ring < 0) | (ring >= bins)
    _check_cover(hidden, positions, binning)
    index = np.where(hidden, bins, ring).astype(np.uint16)
    width = np.round(widths / WIDTH_UNIT).astype(np.uint32)
    pixels = np.bincount(index, minlength=bins + 1)[:bins]
    if pixels.max() > MAX_RING_PIXELS:
        raise ScanNotForThis(f"a ring of {pixels.max()} pixels: at most {MAX_RING_PIXELS}")
    sums = np.bincount(index, positions, bins + 1)[:bins]
    return RingTable(
        axis=binning.axis,
        ring=index,
        width=width,
        pixels=ring_pixels(index, widths, bins),
        ring_width=np.bincount(index, width, bins + 1)[:bins].astype(np.int64),
        ring_pixels=pixels.astype(np.int64),
        centres=np.where(pixels > 0, sums / np.maximum(pixels, 1), binning.middles()),
    )


@functools.lru_cache(maxsize=4)
def _split_table(key: _Key, binning: Binning, polarisation: float) -> SplitTable:
    positions, reach, widths = _pyfai_arrays(key, binning.axis, polarisation, corners=True)
    scale = binning.bins / (binning.high - binning.low)
    middle, half = (positions - binning.low) * scale, reach * scale
    hidden = key.hidden()
    _check_cover(hidden | (middle < 0) | (middle >= binning.bins), positions, binning)
    return SplitTable(
        axis=binning.axis,
        shares=share_out(middle - half, middle + half, widths, hidden, binning.bins),
        centres=binning.middles(),
    )


def _check_cover(
    hidden: NDArray[np.bool_], positions: NDArray[np.float64], binning: Binning
) -> None:
    if hidden.all():
        raise ScanNotForThis(
            f"no open pixel between {binning.low} and {binning.high} {UNITS[binning.axis]}: "
            f"the detector covers {positions.min():.4g} to {positions.max():.4g}"
        )


def _wavelength(poni: Poni, energy_ev: float) -> float:
    from_energy = HC_EV_M / energy_ev if energy_ev > 0 else math.nan
    if math.isnan(poni.wavelength_m):
        if math.isnan(from_energy):
            raise ScanNotForThis("neither the .poni nor the scan says the wavelength")
        return from_energy
    if abs(from_energy / poni.wavelength_m - 1) > 1e-3:
        raise ScanNotForThis(
            f".poni is for {HC_EV_M / poni.wavelength_m:.1f} eV, the scan is at {energy_ev:.1f} eV"
        )
    return poni.wavelength_m


def azimuths(start: ScanStart) -> NDArray[np.float64]:
    """Azimuth of every pixel as pyFAI counts it, (pixels,) float64 [rad], -pi to pi.

    Raises ScanNotForThis where the scan has no geometry or contradicts it.
    """
    key = _key(start, Binning("q", 0.0, 1.0, 1))
    return np.asarray(_pyfai_integrator(key).chiArray(key.shape), np.float64).ravel()


def _pyfai_integrator(key: _Key) -> AzimuthalIntegrator:
    """pyFAI's object for the geometry. Raises ScanNotForThis where it contradicts the scan."""
    from pyFAI.detectors import Detector as PyfaiDetector
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    poni = read_poni(key.poni)
    if any(abs(a / b - 1) > 1e-3 for a, b in zip(poni.pixel_m, key.pixel_m, strict=True)):
        raise ScanNotForThis(
            f".poni is for pixels of {poni.pixel_m} m, the detector has {key.pixel_m}"
        )
    return AzimuthalIntegrator(
        dist=poni.distance,
        poni1=poni.poni1,
        poni2=poni.poni2,
        rot1=poni.rot1,
        rot2=poni.rot2,
        rot3=poni.rot3,
        wavelength=_wavelength(poni, key.energy_ev),
        detector=PyfaiDetector(*key.pixel_m, max_shape=key.shape, orientation=poni.orientation),
    )


def _pyfai_arrays(
    key: _Key, axis: str, polarisation: float, corners: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Position on the axis, how far corners are from it, solid angle times polarisation.

    All (pixels,) float64; without corners the second is 0.
    """
    integrator, shape, unit = _pyfai_integrator(key), key.shape, _PYFAI_UNITS[axis]
    positions = np.asarray(integrator.center_array(shape, unit=unit), np.float64)
    reach = np.zeros_like(positions)
    if corners:
        # not delta_array(), whose answer is in rad or 1/nm whatever unit it is asked for (2026.9)
        places = np.asarray(integrator.corner_array(shape, unit=unit), np.float64)[..., 0]
        reach = np.abs(places - positions[..., None]).max(axis=-1)
    widths = np.asarray(integrator.solidAngleArray(shape), np.float64)
    widths = widths * integrator.polarization(shape, factor=polarisation)
    if widths.max() > MAX_WIDTH or not widths.min() > 0:
        raise ScanNotForThis("solid angle and polarisation of this geometry leave 0 to 4")
    return positions.ravel(), reach.ravel(), widths.ravel()


def saturation_of(detector: Detector) -> int:
    """Counts at or above which a pixel is left out: never above the dtype's largest value."""
    top = int(np.iinfo(np.dtype(detector.dtype)).max)
    return min(detector.saturation, top) if detector.saturation > 0 else top
