"""What an area detector is asked for, and where its frames will be found."""

from __future__ import annotations

from dataclasses import dataclass

from ..stream.description import ScanDescription


@dataclass(frozen=True, slots=True)
class Exposure:
    """A series to prepare.

    description: what the detector passes on in its stream
    exposure_s: count time of a frame [s]
    frame_s: period of the frames, at least the exposure [s]; 0 means as short as it can be
    energy_ev: photon energy to set [eV]; 0 leaves it as it is
    trigger_mode: "exts" for pulses from the stage, "ints" for the detector's own pace
    """

    description: ScanDescription
    exposure_s: float
    frame_s: float = 0.0
    energy_ev: float = 0.0
    trigger_mode: str = "exts"


@dataclass(frozen=True, slots=True)
class RunFile:
    """Where the frames of a scan will be found: uri "file://localhost/…" and HDF5 dataset."""

    uri: str
    dataset: str


def no_file(description: ScanDescription) -> RunFile:
    """The answer where nobody said which file is being written."""
    return RunFile(f"file://localhost/{description.run}.nxs", "/entry/instrument/detector/data")
