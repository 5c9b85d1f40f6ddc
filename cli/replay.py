"""A recorded run, fed back in as if live: the same parts, the replayer in the detector's place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..stream.messages import Result
from ..stream.run_file import RunFileError, open_run
from .experiment import Experiment
from .experiment_file import ExperimentError, parse


def replay_file(
    file: Path, out: Path | None, speed: float, offscreen: bool, say: Callable[[str], None]
) -> int:
    """Replay file through its own analysis; the exit code: 0 where every final map is the same."""
    from .folder import RunFolder
    from .run import Choices, Run, has_display

    try:
        with open_run(file) as recorded:
            experiment = parse(recorded.experiment_text, f"{file}: experiment")
            before = [r for r in recorded.results() if r.final]
    except (RunFileError, ExperimentError) as error:
        say(f"operando: {error}")
        return 2
    path = (out or file.parent / "replay").resolve()
    folder = RunFolder(path)
    if folder.file.exists():
        say(f"operando: {path} already holds a run: give another --out")
        return 2
    path.mkdir(parents=True, exist_ok=True)
    window = "pictures" if offscreen or not has_display() else "screen"
    source = ("replay", "feed", "--speed", str(speed), "--recording", str(file.resolve()))
    say(f"replaying {file}\nwriting to {path}")
    outcome = Run(
        without_addresses(experiment), folder, Choices(window, 2.0, source), say
    ).execute()
    if outcome.interrupted:
        return 130
    if outcome.failed:
        return 1
    with open_run(folder.file) as replayed:
        after = [r for r in replayed.results() if r.final]
    return 0 if compare(before, after, say) else 1


def without_addresses(experiment: Experiment) -> Experiment:
    """The experiment with the addresses of its own run forgotten."""
    raw = experiment.model_dump()
    raw.pop("network")
    if experiment.simulation is not None:
        raw.pop("detector")
    return Experiment.model_validate(raw)


def compare(before: list[Result], after: list[Result], say: Callable[[str], None]) -> bool:
    """Whether two sets of final results are the same, bit for bit; says what differs."""

    def keyed(results: list[Result]) -> dict[tuple[int, str, str], Result]:
        return {(r.number, r.consumer, r.name): r for r in results}

    old, new = keyed(before), keyed(after)
    missing = sorted(old.keys() ^ new.keys())
    for key in missing:
        say(f"scan {key[0]} {key[1]}.{key[2]}: only in one of the two runs")
    different = [key for key in sorted(old.keys() & new.keys()) if not same(old[key], new[key])]
    for key in different:
        difference = np.nanmax(np.abs(old[key].values - new[key].values))
        say(f"scan {key[0]} {key[1]}.{key[2]}: differs by up to {difference:g} {old[key].unit}")
    equal = len(old.keys() & new.keys()) - len(different)
    say(f"{equal} of {len(old)} final results are the same, bit for bit")
    return bool(old) and not missing and not different


def same(one: Result, other: Result) -> bool:
    """Whether values and uncertainties of two results are the same bytes."""
    if one.values.shape != other.values.shape or one.values.dtype != other.values.dtype:
        return False
    if (one.uncertainty is None) != (other.uncertainty is None):
        return False
    if one.values.tobytes() != other.values.tobytes():
        return False
    if one.uncertainty is None or other.uncertainty is None:
        return True
    return one.uncertainty.tobytes() == other.uncertainty.tobytes()
