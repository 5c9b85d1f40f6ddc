"""The messages that move between rooms, each defined once.

A scan is described by one ScanStart before its frames, then come Frames in any order, then one
ScanStop. Frames are identified by (scan, index), never by arrival order or time. Positions and
Samples are measurements that arrive on their own and are joined by frame index or by time.
Results are labelled arrays. How a message becomes bytes is the business of packing.py.

Units stand in the field's description; numbers without one are counts or indices.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a trajectory.

    name: "translation", "rotation", "energy", ...
    unit: unit of values, e.g. "um", "deg", "eV"
    values: (frames,) float64, the planned position of every frame [unit]
    """

    name: str
    unit: str
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trajectory:
    """Where each frame of a scan is taken.

    grid: points along each axis, slowest first, where the scan is a grid whose frames run in
        row-major order (frame i is at np.unravel_index(i, grid)); empty where it is not
    axes: one Axis a motor, slowest first; on a grid of n dimensions the first n axes belong to
        its dimensions
    """

    grid: tuple[int, ...]
    axes: tuple[Axis, ...]

    def axis(self, name: str) -> Axis:
        """The axis called name. Raises KeyError naming those there are."""
        for axis in self.axes:
            if axis.name == name:
                return axis
        raise KeyError(f"no axis {name!r} in this trajectory, it has {[a.name for a in self.axes]}")


@dataclass(frozen=True, slots=True)
class Detector:
    """The area detector as it stands for one scan.

    shape: (rows, cols)
    dtype: NumPy name of the pixel type as sent, e.g. "uint16", "uint32"
    pixel_m: (height, width) of a pixel [m]
    saturation: counts at or above which a pixel is not to be trusted
    mask: (rows, cols) bool, True where a pixel is dead, hot or a gap; None where there is no mask
    """

    name: str
    shape: tuple[int, int]
    dtype: str
    pixel_m: tuple[float, float]
    saturation: int
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class CellState:
    """The electrochemical cell at one moment.

    time_s: the potentiostat's own clock [s]
    voltage_v: cell voltage [V]
    current_a: [A], discharge negative (IUPAC)
    charge_ah: charge passed since the run's start [A h], discharge negative
    temperature_c: [deg C], nan where it is not measured
    state: the potentiostat's state in its own words, e.g. "HOLD_OCV"
    """

    time_s: float
    voltage_v: float
    current_a: float
    charge_ah: float
    temperature_c: float
    state: str


@dataclass(frozen=True, slots=True)
class ScanStart:
    """All that is known of a scan before its first frame.

    run: identifier of the experiment run that the scan belongs to
    scan: identifier of this scan, unique
    number: place of the scan in its run, counted from 1
    technique: "xrdct", "frames", ...: which analyses can use it
    frames: how many frames are to come
    poni: text of a pyFAI .poni geometry; "" where none is needed
    energy_ev: photon energy [eV]; nan where unknown
    exposure_s: [s] a frame
    time: unix time of the start [s]; data only, nothing is ordered by it
    notes: whatever else a person should find in the file
    """

    run: str
    scan: str
    number: int
    technique: str
    frames: int
    detector: Detector
    trajectory: Trajectory
    poni: str
    energy_ev: float
    exposure_s: float
    cell: CellState | None
    time: float
    notes: dict[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Frame:
    """One detector exposure of a scan.

    scan: identifier of the scan, from its ScanStart
    index: place in the trajectory, counted from 0
    shape: (rows, cols) of the decoded image
    dtype: NumPy name of the decoded pixel type
    encoding: "raw", "bslz4" or "lz4" (the two with HDF5 filter framing); see compression.py
    data: the payload exactly as the detector sent it; one contiguous buffer
    checksum: xxh3_64 of data, taken where the frame was first received
    time_s: start of the exposure on the detector's own clock, relative to its series [s]
    """

    scan: str
    index: int
    shape: tuple[int, int]
    dtype: str
    encoding: str
    data: bytes | memoryview
    checksum: int
    time_s: float = float("nan")


@dataclass(frozen=True, slots=True)
class ScanStop:
    """The source has no more to say about a scan.

    frames: frames that the receiver handed on
    reason: "complete", "aborted", or "failed: ..." in words
    lost: index -> reason, for every announced frame that will not come
    dropped: what else came meanwhile and was handed on by nobody, a line for each kind
    """

    scan: str
    frames: int
    reason: str
    lost: dict[int, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Positions:
    """Measured (encoder) positions of some frames of a scan.

    axis: name of a trajectory axis
    indices: (n,) int64 frame indices
    values: (n,) float64 [unit]
    """

    scan: str
    axis: str
    unit: str
    indices: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Samples:
    """A stretch of potentiostat history; all arrays (n,) float64.

    time_s: the potentiostat's own clock [s], increasing unless somebody sets it: see cell_clock.py
    wall_s: unix time of each sample [s]
    voltage_v [V], current_a [A, discharge negative], charge_ah [A h], temperature_c [deg C]
    states: (n,) the potentiostat's state at each sample
    """

    run: str
    time_s: NDArray[np.float64]
    wall_s: NDArray[np.float64]
    voltage_v: NDArray[np.float64]
    current_a: NDArray[np.float64]
    charge_ah: NDArray[np.float64]
    temperature_c: NDArray[np.float64]
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A Bluesky document.

    name: "start", "descriptor", "event", "event_page", "stream_resource", "stop", ...
    text: the document as JSON, numpy scalars and arrays as plain numbers and lists
    """

    run: str
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Reduction:
    """What the consumers made of one frame: kilobytes out of megabytes.

    arrays: consumer name -> its reduced array
    failed: consumer name -> why it could not reduce this frame
    settings: checksum of the analysis settings that the reducer was given; 0 where it was not told
    """

    scan: str
    index: int
    arrays: dict[str, Array]
    failed: dict[str, str] = field(default_factory=dict)
    settings: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """A labelled array: the best answer so far.

    consumer, name: who made it and what it is, e.g. "xrdct", "lattice_parameter"
    dims: name of each dimension of values, slowest first
    coords: dimension -> (n,) coordinate values; further labelled coordinates are allowed
    units: coordinate name -> unit
    unit: unit of values; "" for a pure number
    values: float array; nan where nothing has been measured yet
    uncertainty: standard uncertainty of values, same shape and unit; None where there is none
    completeness: share of the scan's frames that it rests on, 0 to 1
    revision: grows with every new version of this result
    final: no better version will come from this scan
    live: False for results too large for the views: they go to the file only
    attrs: numbers and words a reader needs, e.g. {"forbidden_low": 8.076}
    """

    run: str
    scan: str
    number: int
    consumer: str
    name: str
    dims: tuple[str, ...]
    coords: dict[str, Array]
    units: dict[str, str]
    unit: str
    values: Array
    uncertainty: Array | None
    completeness: float
    revision: int
    final: bool
    live: bool = True
    attrs: dict[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GroupAccount:
    """What one group of members has made of a scan's frames.

    name: the group, e.g. "record", "process"
    done: frames acknowledged: recorded, or in the results
    failed: index -> reason
    """

    name: str
    done: int
    failed: dict[int, str]


@dataclass(frozen=True, slots=True)
class Account:
    """The ledger of one scan: announced = received + lost + still to come.

    announced: frames promised by ScanStart, less those withdrawn since
    received: frames that entered the hub, duplicates not counted
    duplicates: frames that came again and were dropped
    lost: index -> reason
    groups: what each group has done with the received ones
    closed: True when every announced frame is accounted for in every group
    withdrawn: frames that were announced and then not to be taken any more; why: in words
    dropped: what the source has dropped, as its ScanStop says
    """

    run: str
    scan: str
    number: int
    announced: int
    received: int
    duplicates: int
    lost: dict[int, str]
    groups: tuple[GroupAccount, ...]
    closed: bool
    withdrawn: int = 0
    why_withdrawn: str = ""
    dropped: tuple[str, ...] = ()

    def group(self, name: str) -> GroupAccount:
        """The account of group name; an empty one where it has not reported."""
        for group in self.groups:
            if group.name == name:
                return group
        return GroupAccount(name, 0, {})


@dataclass(frozen=True, slots=True)
class Status:
    """A component's own report, about once a second.

    component: "plan", "hub", "reducer-0", ...
    state: one word or sentence, e.g. "scanning"
    time: unix time [s]
    values: counters and texts, units at the end of their names
    """

    component: str
    state: str
    time: float
    values: dict[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Focus:
    """Where somebody is looking: the voxel whose details the consumers should add to their results.

    scan: identifier of the scan; "" for whichever is current
    row, column: voxel of the map
    """

    scan: str
    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A scan ends early on purpose: its frames from first on will not be taken.

    They are neither lost nor missing. A frame that comes all the same is taken.
    """

    scan: str
    first: int
    reason: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody who reads the maps asks the plan for; alone it moves nothing.

    id: unique in the run
    kind: one of PROPOSALS: "stop" the scan that runs between two of its lines, a finer "roi" scan
        of a region, or the scan again with more "exposure"
    scan: identifier of the scan whose maps it rests on
    reason: in words, with the numbers that led to it
    region: (x, y, width) in the slice [um]; nan where the kind has none
    exposure_s: of a frame [s]; nan where the kind has none
    cost_s: time it takes [s], below 0 what it saves
    dose: what a voxel of the region gets, in the unit of the run's dose map; nan where unknown
    deadline: unix time after which nobody may act on it [s]
    time: unix time at which it was made [s]
    """

    run: str
    id: str
    kind: str
    scan: str
    reason: str
    region: tuple[float, float, float]
    exposure_s: float
    cost_s: float
    dose: float
    deadline: float
    time: float


@dataclass(frozen=True, slots=True)
class Decision:
    """A word on a proposal; the newest one of an id counts.

    id: of the proposal
    verdict: one of VERDICTS. People and the plan say "approved" or "vetoed"; the plan alone says
        "refused", "expired" and "done"
    by: who says so, e.g. "window", "automatic", "plan"
    time: unix time [s]
    """

    run: str
    id: str
    verdict: str
    by: str
    reason: str
    time: float


PROPOSALS = ("stop", "roi", "exposure")
VERDICTS = ("approved", "vetoed", "refused", "expired", "done")

Message = (
    ScanStart | Frame | ScanStop | Positions | Samples | Document | Reduction | Result
    | Account | Status | Focus | Withdrawal | Proposal | Decision
)  # fmt: skip
