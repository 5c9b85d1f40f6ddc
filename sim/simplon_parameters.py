"""The parameters of a simulated SIMPLON detector, with the vendor's names, types and limits.

A parameter knows what may be written to it; the server only carries it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

Value = bool | int | float | str | list[str]

READOUT_TIME_S = 1e-7  # EIGER2's continuous readout leaves 100 ns between frames


class Refused(ValueError):
    """A value that this parameter does not take."""


@dataclass(slots=True)
class Parameter:
    """One thing that can be read, or written, under a name.

    kind: the vendor's value_type: "float", "uint", "int", "bool", "string", "list"
    """

    value: Value
    kind: str
    unit: str = ""
    writable: bool = False
    low: float | None = None
    high: float | None = None
    allowed: tuple[str, ...] = ()
    may_change: tuple[str, ...] = field(default=())

    def write(self, value: object) -> None:
        """Take value. Raises Refused in words."""
        self.value = self._checked(value)

    def _checked(self, value: object) -> Value:
        if self.kind == "bool":
            if not isinstance(value, bool):
                raise Refused(f"needs a truth value, got {value!r}")
            return value
        if self.kind == "string":
            if not isinstance(value, str):
                raise Refused(f"needs a text, got {value!r}")
            if self.allowed and value not in self.allowed:
                raise Refused(f"{value!r} is none of {list(self.allowed)}")
            return value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Refused(f"needs a number, got {value!r}")
        if self.kind in ("uint", "int") and value != int(value):
            raise Refused(f"needs a whole number, got {value!r}")
        if (self.low is not None and not value >= self.low) or (
            self.high is not None and not value <= self.high
        ):
            raise Refused(f"{value!r} is outside {self.low} to {self.high}")
        return int(value) if self.kind in ("uint", "int") else float(value)

    def answer(self) -> dict[str, object]:
        """What a GET returns."""
        found: dict[str, object] = {
            "value": self.value,
            "value_type": self.kind,
            "access_mode": "rw" if self.writable else "r",
        }
        if self.unit:
            found["unit"] = self.unit
        if self.low is not None:
            found["min"] = self.low
        if self.high is not None:
            found["max"] = self.high
        if self.allowed:
            found["allowed_values"] = list(self.allowed)
        return found


def status_answer(value: Value, kind: str, unit: str = "") -> dict[str, object]:
    """What a GET of a status parameter returns."""
    found: dict[str, object] = {
        "value": value,
        "value_type": kind,
        "access_mode": "r",
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()),
        "state": "normal",
    }
    if unit:
        found["unit"] = unit
    return found


def detector_config(
    shape: tuple[int, int],
    dtype_bits: int,
    pixel_m: tuple[float, float],
    energy_ev: float,
    saturation: int,
) -> dict[str, Parameter]:
    """detector/config of an EIGER2-like detector; shape is (rows, cols)."""
    rows, cols = shape
    return {
        "count_time": Parameter(0.01, "float", "s", True, 1e-6, 3600.0, may_change=("frame_time",)),
        "frame_time": Parameter(0.01, "float", "s", True, 1e-6, 3600.0, may_change=("count_time",)),
        "nimages": Parameter(1, "uint", "", True, 1, 2_000_000_000),
        "ntrigger": Parameter(1, "uint", "", True, 1, 2_000_000_000),
        "trigger_mode": Parameter(
            "ints", "string", "", True, allowed=("ints", "inte", "exts", "exte")
        ),
        "photon_energy": Parameter(
            energy_ev, "float", "eV", True, 3500.0, 200_000.0, may_change=("threshold_energy",)
        ),
        "threshold_energy": Parameter(energy_ev / 2, "float", "eV", True, 1750.0, 100_000.0),
        "compression": Parameter("bslz4", "string", "", True, allowed=("bslz4", "lz4", "none")),
        "beam_center_x": Parameter(0.0, "float", "", True, -1e6, 1e6),
        "beam_center_y": Parameter(0.0, "float", "", True, -1e6, 1e6),
        "detector_distance": Parameter(0.0, "float", "m", True, 0.0, 1000.0),
        "countrate_correction_applied": Parameter(False, "bool", "", True),
        "pixel_mask_applied": Parameter(False, "bool", "", True),
        "x_pixels_in_detector": Parameter(cols, "uint"),
        "y_pixels_in_detector": Parameter(rows, "uint"),
        "x_pixel_size": Parameter(pixel_m[1], "float", "m"),
        "y_pixel_size": Parameter(pixel_m[0], "float", "m"),
        "bit_depth_image": Parameter(dtype_bits, "uint"),
        "bit_depth_readout": Parameter(dtype_bits, "uint"),
        "countrate_correction_count_cutoff": Parameter(saturation, "uint"),
        "detector_readout_time": Parameter(READOUT_TIME_S, "float", "s"),
        "description": Parameter("Simulated Dectris EIGER2", "string"),
        "detector_number": Parameter("SIM-0001", "string"),
        "software_version": Parameter("1.8.0-simulated", "string"),
        "sensor_material": Parameter("CdTe", "string"),
        "sensor_thickness": Parameter(7.5e-4, "float", "m"),
    }


def stream_config() -> dict[str, Parameter]:
    """stream/config; as at the vendor's, format is "legacy" until somebody asks for "cbor"."""
    return {
        "mode": Parameter("disabled", "string", "", True, allowed=("enabled", "disabled")),
        "format": Parameter("legacy", "string", "", True, allowed=("cbor", "legacy")),
        "header_detail": Parameter("basic", "string", "", True, allowed=("all", "basic", "none")),
        "header_appendix": Parameter("", "string", "", True),
        "image_appendix": Parameter("", "string", "", True),
    }
