"""What people have set at a SIMPLON detector, to be put back after it was started anew.

A plan sets what a series needs and leaves the rest as it was found. A detector that starts has lost
that: initialize gives it the maker's settings. With another threshold, or without a correction, it
would count on, and nobody would see it.
"""

from __future__ import annotations

from collections.abc import Mapping

from .simplon import NoAnswer, Simplon, SimplonError, Value

# names of detector/config; no model has them all. The energy comes first: thresholds follow it
SETTINGS = (
    "photon_energy",
    "incident_energy",
    "threshold_energy",
    "threshold/1/mode",
    "threshold/1/energy",
    "threshold/2/mode",
    "threshold/2/energy",
    "threshold/difference/mode",
    "counting_mode",
    "auto_summation",
    "roi_mode",
    "compression",
    "countrate_correction_applied",
    "flatfield_correction_applied",
    "pixel_mask_applied",
    "virtual_pixel_correction_applied",
    "beam_center_x",
    "beam_center_y",
    "detector_distance",
)


def settings_of(simplon: Simplon) -> dict[str, Value]:
    """Those of SETTINGS that the detector has, as they are. Raises NoAnswer."""
    found: dict[str, Value] = {}
    for name in SETTINGS:
        try:
            found[name] = simplon.get("detector", "config", name)
        except NoAnswer:
            raise
        except SimplonError:  # this model has none of that name
            continue
    return found


def put_back(simplon: Simplon, settings: Mapping[str, Value]) -> tuple[str, ...]:
    """Give it these settings; the names of those that had changed. Raises SimplonError."""
    changed = []
    for name, value in settings.items():
        if simplon.get("detector", "config", name) != value:
            simplon.put("detector", name, value)
            changed.append(name)
    return tuple(changed)
