"""Detector files through the live path: hub, recorder, reducers, absorber; patterns as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..stream.image_files import image_paths
from ..stream.messages import Result
from ..stream.run_file import open_run
from .experiment import Analysis, Experiment, Files
from .experiment_file import ExperimentError, check_consumers
from .folder import RunFolder
from .run import Choices, Run


@dataclass(frozen=True, slots=True)
class FrameJob:
    """What `operando process --frames` was asked to do.

    axis: "q" or "two_theta"; span: its first and last value, None for all that is seen
    """

    paths: tuple[Path, ...]
    poni: Path
    mask: Path | None
    orientation: str
    negatives: Literal["masked", "zero"]
    axis: str
    span: tuple[float, float] | None
    bins: int
    estimator: str
    split: bool
    polarisation: float
    out: Path


def process_frames(job: FrameJob, say: Callable[[str], None]) -> int:
    """Process the frames; the exit code. Raises ExperimentError where the job makes no sense."""
    try:
        images = image_paths(job.paths, leave_out=job.mask)
        geometry = job.poni.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(str(error)) from None
    experiment = _experiment(job, images, geometry)
    folder = RunFolder(job.out.resolve())
    if folder.file.exists():
        raise ExperimentError(f"{folder.path} already holds a run: give another --out")
    folder.path.mkdir(parents=True, exist_ok=True)
    say(f"{len(images)} file(s), writing to {folder.path}")
    outcome = Run(experiment, folder, Choices("none", source=("files", "feed")), say).execute()
    if outcome.interrupted:
        return 130
    with open_run(folder.file) as run:
        results = {r.name: r for r in run.results() if r.consumer == "powder"}
        lost = [reason for account in run.accounts() for reason in account.lost.values()]
    for reason in lost:
        say(f"left out: {reason}")
    if "patterns" not in results:
        say("no pattern came out: see the messages above and the logs")
        return 1
    for path in write_patterns(results["patterns"], images, folder.path):
        say(str(path))
    _say_peaks(results.get("peaks"), say)
    return 1 if outcome.failed or lost else 0


def _experiment(job: FrameJob, images: list[Path], geometry: str) -> Experiment:
    low, high = job.span or (0.0, _reach(job, images, geometry))
    settings = {
        "axis": job.axis,
        "low": low,
        "high": high,
        "bins": job.bins,
        "estimator": job.estimator,
        "split": job.split,
        "polarisation": job.polarisation,
        "peak_window": 0.01 * (high - low),
    }
    experiment = Experiment(
        title=f"{len(images)} detector file(s)",
        geometry=str(job.poni.resolve()),
        analysis=Analysis(reducers=2, consumers={"powder": settings}),
        frames=Files(
            paths=tuple(str(p.resolve()) for p in images),
            mask=str(job.mask.resolve()) if job.mask else "",
            orientation=job.orientation,
            negatives=job.negatives,
        ),
    )
    check_consumers(experiment, "process")
    return experiment


def _reach(job: FrameJob, images: list[Path], geometry: str) -> float:
    """The largest value of the axis that the first readable image sees."""
    from ..consumers.contract import ScanNotForThis
    from ..consumers.geometry import axis_reach
    from ..stream.image_files import frames_from_files
    from ..stream.image_readers import UnreadableImage
    from ..stream.messages import ScanStart

    try:
        start = next(frames_from_files(images, geometry, job.orientation))
    except (UnreadableImage, ValueError) as error:
        raise ExperimentError(str(error)) from None
    if not isinstance(start, ScanStart):
        raise ExperimentError("the files announce no scan")
    try:
        return axis_reach(start, job.axis)
    except ScanNotForThis as error:
        raise ExperimentError(f"{job.poni}: {error}") from None


def write_patterns(patterns: Result, images: list[Path], folder: Path) -> list[Path]:
    """One two-column text file a frame, named by its image; the paths."""
    frame_dim, axis = patterns.dims
    names = pattern_names(images, len(patterns.values))
    written = []
    for index, values in zip(patterns.coords[frame_dim], patterns.values, strict=True):
        if not np.isfinite(values).any():
            continue
        path = folder / f"{names[int(index)]}.xy"
        table = np.column_stack([patterns.coords[axis], values])
        unit = patterns.units[axis]
        np.savetxt(path, table, fmt="%.8g", header=f"{axis} [{unit}]  intensity [{patterns.unit}]")
        written.append(path)
    return written


def pattern_names(images: list[Path], frames: int) -> list[str]:
    """A name for every frame: its image's without the ending, made unique where it is not."""
    if len(images) != frames:  # several frames in a file
        return [f"frame_{index:06d}" for index in range(frames)]
    names: list[str] = []
    for image in images:
        name = image.name
        for ending in (".gz", ".bz2"):
            name = name.removesuffix(ending)
        name = base = name.rsplit(".", 1)[0] if "." in name.lstrip(".") else name
        number = 2
        while name in names:
            name, number = f"{base}_{number}", number + 1
        names.append(name)
    return names


def _say_peaks(peaks: Result | None, say: Callable[[str], None]) -> None:
    if peaks is None or not peaks.values.size:
        return
    say(f"{peaks.values.size} peaks in the mean pattern [{peaks.unit}]:")
    sigma = peaks.uncertainty
    for place, value in enumerate(peaks.values):
        error = "" if sigma is None else f" ± {sigma[place]:.5f}"
        say(f"  {value:.5f}{error}")
