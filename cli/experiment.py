"""The experiment file: one YAML file describes a whole run; its keys, their limits and defaults.

Unknown keys are errors, units stand in the names. `simulation:` puts the digital twin at the other
end of the wires: the rest of the file reads the same with and without it. Reading a file and
saying what is wrong with it is the business of experiment_file.py.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ..stream.admission import is_local
from .adaptive_section import Adaptive, Beam
from .cell_section import Cell, Potentiostat
from .section import Section


class Mark(Section):
    """Where to pause: exactly one of the three."""

    capacity_mAh: float | None = Field(None, gt=0, description="charge passed since the start")
    voltage_V: float | None = Field(None, gt=0, description="cell voltage reached from above")
    time_s: float | None = Field(None, gt=0, description="cell time since the start")

    @model_validator(mode="after")
    def _one(self) -> Mark:
        given = [n for n in type(self).model_fields if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a mark takes exactly one of capacity_mAh, voltage_V, time_s; it has {given}"
            )
        return self


class Translations(Section):
    """The fast axis of the tomogram."""

    start_um: float = -20.0
    stop_um: float = 20.0
    points: int = Field(41, ge=2, le=100_000)

    @model_validator(mode="after")
    def _forward(self) -> Translations:
        if not self.start_um < self.stop_um:
            raise ValueError(f"start_um {self.start_um} must be below stop_um {self.stop_um}")
        return self


class Angles(Section):
    """The slow axis of the tomogram: projections over half a turn."""

    count: int = Field(40, ge=2, le=100_000)
    span_deg: float = Field(180.0, gt=0, le=360)
    order: Literal["sequential", "bit-reversed", "interlaced"] = "bit-reversed"


class Before(Section):
    """A wide scan that is taken once, at open circuit, before the discharge begins."""

    role: Literal["broad", "coarse"] = Field(
        description="broad: the whole cell with what holds the sample; coarse: the whole sample"
    )
    translations: Translations
    angles: Angles = Field(default_factory=lambda: Angles())
    exposure_s: float = Field(0.01, gt=0, description="time a point [s]")
    beam_um: float = Field(0.0, ge=0, description="width of the beam; 0 leaves it as it is [um]")

    def frames(self) -> int:
        """Frames in it."""
        return self.translations.points * self.angles.count

    @model_validator(mode="after")
    def _whole_turn(self) -> Before:
        if self.angles.span_deg != 180 or self.angles.order == "interlaced":
            raise ValueError("a wide scan takes half a turn, sequential or bit-reversed")
        return self


class Scan(Section):
    """The tomogram that is taken at every mark."""

    technique: Literal["xrdct"] = "xrdct"
    translations: Translations = Field(default_factory=lambda: Translations())
    angles: Angles = Field(default_factory=lambda: Angles())
    exposure_s: float = Field(0.01, gt=0, description="time a point [s]")
    beam_um: float = Field(0.0, ge=0, description="width of the beam; 0 leaves it as it is [um]")
    snake: bool = Field(True, description="odd lines run backwards: saves the fly-back")
    relaxation_s: float = Field(
        300.0, ge=0, description="rest at open circuit before the scan [s of cell time]"
    )
    before: tuple[Before, ...] = Field(
        (), description="wide scans, for what surrounds a slice smaller than the sample"
    )
    hold_limit_s: float = Field(
        1800.0, gt=0, description="longest wait for room, before a scan or a line; then it ends [s]"
    )

    @model_validator(mode="after")
    def _beam_known(self) -> Scan:
        if any(wide.beam_um for wide in self.before) and not self.beam_um:
            raise ValueError(
                "beam_um is needed where a scan of before: has one: it would stay as that left it"
            )
        return self

    def frames(self) -> int:
        """Frames in one tomogram."""
        return self.translations.points * self.angles.count

    def frames_before(self) -> int:
        """Frames in all wide scans."""
        return sum(wide.frames() for wide in self.before)


class Stage(Section):
    """The EPICS names of the sample stage."""

    prefix: str = "SIM:STG:"


class AreaDetector(Section):
    """Where the detector's two wires are."""

    rest: str = Field(
        "", description="SIMPLON address, e.g. http://10.0.0.7:80; empty in a dry run"
    )
    stream: str = Field("", description="its stream, e.g. tcp://10.0.0.7:31001; empty in a dry run")
    api: str = "1.8.0"
    format: Literal["v2", "v1"] = "v2"


class Files(Section):
    """Detector files in place of a detector: nothing is driven, frames go the same way."""

    paths: tuple[str, ...] = Field(min_length=1, description="files, or folders of them")
    mask: str = Field("", description="an image; its pixels other than zero are left out")
    orientation: str = Field(
        "identity", description="identity, flip-ud, flip-lr, rotate-180, transpose, ..."
    )
    negatives: Literal["masked", "zero"] = Field(
        "masked", description="what pixels below 0 mean; zero is what programs without a mask take"
    )


class Analysis(Section):
    """What is made of the frames."""

    reducers: int = Field(2, ge=1, le=256, description="reducer processes on this machine")
    interval_s: float = Field(0.4, gt=0, description="shortest time between two live results [s]")
    memory_MB: int = Field(
        4096,
        ge=256,
        description="memory of the absorber above which it lets go of earlier scans' details [MB]",
    )
    consumers: dict[str, dict[str, Any]] = Field(
        default_factory=lambda: {"xrdct": {}, "intensity": {}},
        description="consumer name -> its settings; `check --explain` lists them",
    )


class Simulation(Section):
    """The digital twin in place of the hardware."""

    clock: float = Field(
        120.0,
        gt=0,
        description="seconds of cell time in a second of wall time; frames run in wall time",
    )
    bench: str = Field(
        "",
        description="where the detector asks what stands in the beam; for processes of their own",
    )
    pulses: str = Field("", description="where the stage's pulses go; likewise")
    twin: dict[str, Any] = Field(
        default_factory=dict, description="settings of the twin (sim/twin.py, TwinConfig)"
    )
    detector_faults: dict[str, Any] = Field(
        default_factory=dict,
        description="what its stream does wrong (stream/dectris_faults.py, Misbehaviour)",
    )


class Network(Section):
    """Addresses; left empty they are chosen by `operando run`, on this machine only."""

    items: str = Field("", description="the hub's lossless side")
    live: str = Field("", description="the hub's live side, for windows")
    keys: str = Field(
        "",
        description="folder made by `operando keys`; needed where items is not on this machine",
    )
    live_keys: bool = Field(False, description="the live side asks for keys too")
    epics_addresses: str = Field(
        "", description="EPICS_CA_ADDR_LIST, e.g. 10.0.0.9; empty = as set"
    )
    epics_port: int = Field(0, ge=0, le=65535, description="EPICS_CA_SERVER_PORT; 0 = as set")
    epics_repeater_port: int = Field(0, ge=0, le=65535, description="0 = as set")
    window_MB: int = Field(256, ge=8, description="memory for frames on their way [MB]")
    spool_MB: int = Field(
        4096,
        ge=64,
        description="disk for frames not yet recorded and analysed, with their reductions [MB]",
    )
    record_MB_s: float = Field(
        5.0, ge=0, description="a disk that takes less is warned of by the recorder [MB/s]"
    )
    spool_age_s: float = Field(
        600.0,
        gt=0,
        description="the plan holds while a frame has waited longer for record and analysis [s]",
    )
    spool_keep_s: float = Field(
        3600.0, gt=0, description="how long the spool keeps what nobody needs any more [s]"
    )

    @model_validator(mode="after")
    def _locked(self) -> Network:
        if not self.keys and self.items and not is_local(self.items):
            raise ValueError(
                f"items {self.items} is reached from other machines: "
                "make keys with `operando keys FOLDER` and name them as keys"
            )
        if self.live_keys and not self.keys:
            raise ValueError("live_keys: there are no keys; name their folder as keys")
        return self


class Experiment(Section):
    """A whole run."""

    title: str = Field(min_length=1)
    output: str = Field("runs", description="folder under which every run gets its own")
    cell: Cell = Field(default_factory=lambda: Cell())
    marks: tuple[Mark, ...] = Field((), description="where to pause and scan, at least one")
    scan: Scan = Field(default_factory=lambda: Scan())
    potentiostat: Potentiostat = Field(default_factory=lambda: Potentiostat())
    stage: Stage = Field(default_factory=lambda: Stage())
    detector: AreaDetector = Field(default_factory=lambda: AreaDetector())
    geometry: str = Field("", description="a pyFAI .poni file; empty in a dry run: the twin knows")
    analysis: Analysis = Field(default_factory=lambda: Analysis())
    beam: Beam | None = None
    adaptive: Adaptive | None = None
    simulation: Simulation | None = None
    frames: Files | None = None
    network: Network = Field(default_factory=lambda: Network())

    @model_validator(mode="after")
    def _complete(self) -> Experiment:
        if self.frames is not None:
            if self.marks or self.simulation is not None:
                raise ValueError("frames: comes from files: marks and simulation have no place")
            return self
        limited = self.adaptive is not None and self.adaptive.budgets.dose is not None
        if limited and self.beam is None:
            raise ValueError("adaptive.budgets.dose: a limit on the dose needs a `beam:` section")
        finer = self.adaptive is not None and self.adaptive.roi.beam_um
        if finer and not self.scan.beam_um:
            raise ValueError(
                "scan.beam_um is needed where adaptive.roi has one: it would stay as that left it"
            )
        low, high = self.cell.limits.voltage_V
        safe = self.potentiostat.safe_voltage_V
        if safe is not None and not low <= safe <= high:
            raise ValueError(
                f"potentiostat.safe_voltage_V {safe} lies outside limits.voltage_V [{low}, {high}]"
            )
        if not self.marks:
            raise ValueError("marks: at least 1 mark is needed, e.g. `- capacity_mAh: 0.002`")
        if self.simulation is None:
            missing = [
                key
                for key, value in (
                    ("detector.rest", self.detector.rest),
                    ("detector.stream", self.detector.stream),
                    ("geometry", self.geometry),
                )
                if not value
            ]
            if missing:
                raise ValueError(
                    f"{', '.join(missing)} needed with real hardware; "
                    "for a dry run add a `simulation:` section"
                )
        return self


def duration_s(experiment: Experiment) -> dict[str, float]:
    """What a run takes: cell time of the discharge, wall time of one scan and of all [s].

    rescans_wall_s: the most that rescans may add to one pause; not in wall_s
    before_wall_s: of all wide scans, in wall_s

    The discharge is bounded from above by the largest capacity mark or time mark; voltage marks
    say nothing of the time, with them alone it is 0.
    """
    capacity = max((m.capacity_mAh or 0.0 for m in experiment.marks), default=0.0) * 1e-3
    times = max((m.time_s or 0.0 for m in experiment.marks), default=0.0)
    discharge = max(capacity / abs(experiment.cell.current_A) * 3600.0, times)
    scan = experiment.scan.frames() * experiment.scan.exposure_s
    clock = experiment.simulation.clock if experiment.simulation else 1.0
    pauses = len(experiment.marks)
    budgets = experiment.adaptive.budgets if experiment.adaptive is not None else None
    rescans = max(0.0, budgets.pause_s - scan) if budgets is not None and budgets.rescans else 0.0
    relaxing = pauses * experiment.scan.relaxation_s
    before = sum(wide.frames() * wide.exposure_s for wide in experiment.scan.before)
    return {
        "discharge_cell_s": discharge,
        "relaxation_cell_s": relaxing,
        "scan_wall_s": scan,
        "rescans_wall_s": rescans,
        "before_wall_s": before,
        "wall_s": (discharge + relaxing) / clock + pauses * scan + before,
    }
