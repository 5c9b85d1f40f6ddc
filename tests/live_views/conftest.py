"""A synthetic run for the views: every kind of message, seeded, without a beam."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from operando.stream.messages import (
    Account,
    Axis,
    CellState,
    Detector,
    Frame,
    GroupAccount,
    Message,
    Result,
    Samples,
    ScanStart,
    ScanStop,
    Status,
    Trajectory,
)

LOW, HIGH = 8.076, 8.145
PONI = """poni_version: 2
Distance: 0.41
Poni1: 0.0192
Poni2: 0.003
Rot1: 0.0
Rot2: 0.0
Rot3: 0.0
Wavelength: 2.4797e-11
"""
HKL = np.array(
    [(1, 1, 1), (3, 1, 1), (2, 2, 2), (4, 0, 0), (3, 3, 1), (5, 1, 1), (4, 4, 0), (5, 3, 1)]
)
VOLTS = (4.16, 4.05, 3.97, 3.88, 3.2)
MEAN_A = (8.072, 8.165, 8.192, 8.204, 8.235)


@dataclass
class SyntheticRun:
    """Messages of a run of pauses; n x n voxels, angles projections a scan."""

    n: int = 41
    angles: int = 40
    pauses: int = 4
    shape: tuple[int, int] = (512, 1028)
    seed: int = 7
    run: str = "run-1"
    began: float = 1_795_000_000.0
    pause_s: float = 240.0
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        y, x = np.mgrid[: self.n, : self.n] - (self.n - 1) / 2
        self.inside = np.hypot(x, y) < 0.46 * self.n
        self.seeds = self.rng.uniform(0, self.n, (60, 2))
        yy, xx = np.mgrid[: self.n, : self.n]
        far = (yy[..., None] - self.seeds[:, 0]) ** 2 + (xx[..., None] - self.seeds[:, 1]) ** 2
        self.grain = far.argmin(-1)
        near = np.sort(np.sqrt(far), -1)
        self.pore = (near[..., 1] - near[..., 0] < 0.55) | (self.grain % 7 == 3)
        self.lithium_rich = np.isin(self.grain, (5, 22))
        self.spread = self.rng.normal(0, 0.004, 60)

    @property
    def frames(self) -> int:
        return self.n * self.angles

    def scan(self, number: int) -> str:
        return f"{self.run}-scan-{number}"

    def mark_s(self, number: int) -> float:
        return 1500.0 * number + self.pause_s * (number - 1)

    def samples(self, until_s: float, since_s: float = 0.0, step_s: float = 4.0) -> Samples:
        t = np.arange(since_s, until_s, step_s)
        held = np.zeros(t.size, bool)
        charged = t.copy()
        for number in range(1, self.pauses + 1):
            begin = self.mark_s(number)
            here = (t >= begin) & (t < begin + self.pause_s)
            held |= here
            charged -= np.clip(t - begin, 0, self.pause_s)
        x = np.clip(charged / (1500.0 * (self.pauses + 1)), 0, 1)
        ocv = 4.2 - 0.16 * x - 0.09 / (1 + np.exp((0.45 - x) * 30)) - 0.9 * x**12
        volts = ocv - np.where(held, 0.0, 0.03)
        current = np.where(held, 0.0, -8e-6)
        states = tuple("HOLD_OCV" if h else "RUNNING" for h in held)
        return Samples(
            self.run, t, self.began + t, volts, current, -8e-6 * charged / 3600,
            np.full(t.size, 25.0), states,
        )  # fmt: skip

    def start(self, number: int) -> ScanStart:
        angle = np.repeat(np.arange(self.angles) * 180.0 / self.angles, self.n)
        place = np.tile(np.arange(self.n) - (self.n - 1) / 2, self.angles)
        mask = np.zeros(self.shape, bool)
        mask[:, self.shape[1] // 2 - 4 : self.shape[1] // 2 + 4] = True
        at = self.mark_s(number)
        cell = CellState(at, VOLTS[number - 1], 0.0, -8e-6 * at / 3600, 25.0, "HOLD_OCV")
        axes = (Axis("rotation", "deg", angle), Axis("translation", "um", place))
        return ScanStart(
            self.run, self.scan(number), number, "xrdct", self.frames,
            Detector("eiger", self.shape, "uint16", (75e-6, 75e-6), 65000, mask),
            Trajectory((self.angles, self.n), axes), PONI, 50_000.0, 0.01, cell, self.began + at,
        )  # fmt: skip

    def frame(self, number: int, index: int) -> Frame:
        rows, cols = self.shape
        y, x = np.mgrid[:rows, :cols]
        r = np.hypot(y - rows / 2, x - 40)
        rate = 0.6 + 30 * np.exp(-r / 130)
        for q in self.reflections(MEAN_A[number - 1]):
            radius = 0.41 * np.tan(2 * np.arcsin(q * 0.24797 / 4 / np.pi)) / 75e-6
            rate += 40 * np.exp(-(((r - radius) / 2.5) ** 2))
        counts = self.rng.poisson(rate).astype(np.uint16)
        return Frame(
            self.scan(number), index, self.shape, "uint16", "raw", counts.tobytes(), 0, 0.0
        )

    def reflections(self, a: float) -> np.ndarray:
        return 2 * np.pi * np.sqrt((HKL**2).sum(1)) / a

    def truth(self, number: int) -> np.ndarray:
        a = MEAN_A[number - 1] + self.spread[self.grain]
        a = np.where(self.lithium_rich, 8.085 + 0.012 * number, a)
        return np.where(self.inside & ~self.pore, a, np.nan)

    def results(
        self, number: int, share: float, revision: int, final: bool = False
    ) -> Iterator[Result]:
        rng = np.random.default_rng(number)
        a = self.truth(number)
        noise = rng.normal(0, 1, a.shape)
        sigma = 0.0006 / max(share, 0.05) ** 0.5 * rng.uniform(0.7, 1.6, a.shape)
        a = a + sigma * noise
        fitted = np.isfinite(a)
        tried = rng.uniform(0, 1, a.shape) < min(1.0, share * 1.6) if not final else fitted | True
        place = np.arange(self.n) - (self.n - 1) / 2

        def make(name, dims, coords, units, unit, values, uncertainty=None, **attrs):
            return Result(
                self.run, self.scan(number), number, "xrdct", name, dims, coords, units, unit,
                np.asarray(values, np.float32), uncertainty, share, revision, final, True, attrs,
            )  # fmt: skip

        def image(name, unit, values, uncertainty=None, **attrs):
            values = np.where(tried, values, np.nan)
            yx, um = {"y": place, "x": place}, {"y": "um", "x": "um"}
            return make(name, ("y", "x"), yx, um, unit, values, uncertainty, **attrs)

        window = {"forbidden_low": LOW, "forbidden_high": HIGH}
        yield image("fit_status", "", np.where(fitted, 6.0, 0.0))
        yield image("lattice_parameter", "Å", a, np.where(fitted, sigma, np.nan), **window)
        light = np.where(fitted, 800 * rng.uniform(0.5, 1.0, a.shape), np.nan)
        yield image("peak_intensity", "", light)
        yield image(
            "peak_width", "1/Å", np.where(fitted, 0.012 + 0.002 * rng.random(a.shape), np.nan)
        )
        edges = np.linspace(8.02, 8.27, 126)
        shown = np.where(tried, a, np.nan)
        counts = np.histogram(shown[np.isfinite(shown)], edges)[0]
        centres = (edges[1:] + edges[:-1]) / 2
        yield make(
            "lattice_histogram", ("a",), {"a": centres}, {"a": "Å"}, "voxels", counts, **window
        )
        yield from self._patterns(make, number, share, "pattern", "pattern_fit", MEAN_A[number - 1])
        yield make(
            "reflections", ("reflection",), dict(zip("hkl", HKL.T, strict=True)), {}, "1/Å",
            self.reflections(MEAN_A[number - 1]),
        )  # fmt: skip
        yield self._sinogram(make, share)

    def _patterns(self, make, number, share, data_name, fit_name, a, **attrs):
        q = np.linspace(0.8, 4.7, 900)
        fit = 40 * np.exp(-q / 2) + 12
        heights = (900, 420, 60, 310, 120, 150, 260, 90)
        for height, centre in zip(heights, self.reflections(a), strict=True):
            fit = fit + height * np.exp(-(((q - centre) / 0.014) ** 2))
        rng = np.random.default_rng(number + 100)
        data = rng.poisson(fit * 20 * max(share, 0.02)) / (20 * max(share, 0.02))
        near = np.min(np.abs(q[:, None] - self.reflections(a)), 1) < 0.15
        numbers = {"a": a, "a_sigma": 0.0004, **attrs}
        coords, units = {"q": q}, {"q": "1/Å"}
        yield make(data_name, ("q",), coords, units, "", data, **numbers)
        yield make(fit_name, ("q",), coords, units, "", np.where(near, fit, np.nan), **numbers)

    def voxel(self, number: int, row: int, column: int, revision: int = 1) -> Iterator[Result]:
        a = float(np.nan_to_num(self.truth(number)[row, column], nan=8.2))

        def make(name, dims, coords, units, unit, values, **attrs):
            return Result(
                self.run, self.scan(number), number, "xrdct", name, dims, coords, units, unit,
                np.asarray(values, np.float32), None, 1.0, revision, False, True, attrs,
            )  # fmt: skip

        yield from self._patterns(
            make, number, 0.05, "voxel_pattern", "voxel_fit", a, row=row, column=column
        )

    def _sinogram(self, make, share):
        angles = np.arange(self.angles) * 180.0 / self.angles
        bits = max(1, (self.angles - 1).bit_length())
        order = sorted(range(self.angles), key=lambda k: int(f"{k:0{bits}b}"[::-1], 2))
        place = np.arange(self.n) - (self.n - 1) / 2
        body = (self.inside & ~self.pore).astype(float)
        yy, xx = np.mgrid[: self.n, : self.n] - (self.n - 1) / 2
        values = np.full((self.angles, self.n), np.nan)
        for k in order[: round(share * self.angles)]:
            s = xx * np.cos(np.radians(angles[k])) + yy * np.sin(np.radians(angles[k]))
            at = np.clip(np.rint(s + (self.n - 1) / 2).astype(int), 0, self.n - 1)
            values[k] = np.bincount(at.ravel(), body.ravel(), self.n)
        coords = {"rotation": angles, "translation": place}
        units = {"rotation": "deg", "translation": "um"}
        return make("sinogram", ("rotation", "translation"), coords, units, "", values * 40)

    def particles(self, number: int) -> Iterator[Result]:
        """Two particles, 4 (left, like the others) and 9 (right, apart), in a frame of nothing."""
        labels = np.zeros((self.n, self.n))
        labels[3:9, 2:6], labels[4:8, 8:12] = 4, 9
        place = np.arange(self.n) - (self.n - 1) / 2
        names = np.array([4, 9])

        def make(name, dims, coords, values, uncertainty=None, unit="", **attrs):
            return Result(
                self.run, self.scan(number), number, "xrdct", name, dims, coords,
                dict.fromkeys(dims, "um"), unit, np.asarray(values, np.float32), uncertainty,
                1.0, 2, True, True, attrs,
            )  # fmt: skip

        yield make("particles", ("y", "x"), {"y": place, "x": place}, labels)
        columns = "x_um,y_um,area_um2,a,a_sigma,classification,outlier_z"
        table = [[-3, -1.5, 24, 8.19, 0.0006, 0, 0.4], [2.5, -1.5, 16, 8.1, 0.0008, 2, -6.8]]
        yield make(
            "particle_table", ("particle", "column"),
            {"particle": names, "column": np.arange(7)}, table, columns=columns,
        )  # fmt: skip
        sigma = np.full((2, 3), 0.0007, np.float32)
        yield make(
            "particle_profile", ("particle", "depth"),
            {"particle": names, "depth": np.array([0.5, 1.5, 2.5])},
            [[8.18, 8.19, 8.2], [8.09, 8.1, np.nan]], sigma, "Å",
        )  # fmt: skip
        yield make(
            "particle_shell_fraction_spinel", ("particle", "shell"),
            {"particle": names, "shell": np.arange(3)}, [[0.9, 0.95, 1], [0.7, 0.8, 0.9]], sigma,
            phase="spinel",
        )  # fmt: skip
        scans = np.arange(1, number + 1)
        a = np.array([[8.1], [8.05]]) + 0.01 * scans
        yield make(
            "particle_history", ("particle", "scan"), {"particle": names, "scan": scans}, a,
            np.full(a.shape, 0.0007, np.float32), "Å",
        )  # fmt: skip

    def balance(self, number: int, mean: float, coulomb: float) -> Result:
        charge = self.start(number).cell.charge_ah
        return Result(
            self.run, self.scan(number), number, "xrdct", "soc_balance", ("quantity",),
            {"quantity": np.arange(4)}, {"quantity": ""}, "",
            np.array([mean, coulomb, mean - 0.02, mean + 0.03], np.float32),
            np.array([0.004, np.nan, np.nan, np.nan], np.float32), 1.0, 2, True, True,
            {"columns": "mean,coulomb,low,high", "quantity": "y", "charge_ah": charge},
        )  # fmt: skip

    def account(self, number: int, share: float, closed: bool = False, lost: int = 0) -> Account:
        got = round(share * self.frames) - lost
        groups = (GroupAccount("record", got, {}), GroupAccount("process", got, {}))
        gone = dict.fromkeys(range(lost), "sequence gap")
        return Account(
            self.run, self.scan(number), number, self.frames, got, 0, gone, groups, closed
        )

    def stop(self, number: int, reason: str = "complete") -> ScanStop:
        return ScanStop(self.scan(number), self.frames, reason)

    def statuses(self, time_s: float, number: int = 1, share: float = 0.5) -> list[Status]:
        done = round(share * self.frames)
        plan = {
            "phase": "scanning", "mark": number, "marks": self.pauses, "frames_done": done,
            "frames": self.frames, "next": f"resume the discharge to mark {number + 1} (3.97 V)",
            "remaining_s": (1 - share) * self.frames / 98,
        }  # fmt: skip
        hub = {
            "outstanding": 19,
            "window_bytes": 2e7,
            "members": "recorder, absorber",
            "frames_per_s": 98.2,
        }
        others = {
            "plan": ("scanning", plan), "hub": ("open", hub),
            "recorder": ("recording", {"disk_free_bytes": 412e9}),
            "absorber": ("absorbing", {"lag_s": 0.2}), "reducer-0": ("reducing", {}),
            "reducer-1": ("reducing", {}),
        }  # fmt: skip
        return [Status(name, state, time_s, dict(v)) for name, (state, v) in others.items()]

    def finished_scan(self, number: int) -> Iterator[Message]:
        yield self.start(number)
        yield from self.results(number, 0.5, 1)
        yield from self.results(number, 1.0, 2, final=True)
        yield self.stop(number)
        yield self.account(number, 1.0, closed=True)

    def growing_scan(self, number: int, share: float) -> Iterator[Message]:
        yield self.start(number)
        yield self.account(number, share)
        yield from self.results(number, share, 1)


@pytest.fixture
def synthetic() -> SyntheticRun:
    return SyntheticRun()


@pytest.fixture
def small() -> SyntheticRun:
    return SyntheticRun(n=15, angles=12, shape=(64, 128))
