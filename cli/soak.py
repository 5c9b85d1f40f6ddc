"""The fault laboratory for people: whole dry runs, disturbed by a seed, and what became of them.

First one run that nobody disturbs, to compare with. Then one after another, with a fault every so
many seconds, until the minutes are over; the last one is ended the hard way, by killing its
hardware or its plan. After each run every promise is looked at (soak_verdict.py).
"""

from __future__ import annotations

import logging
import re
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .experiment import Experiment
from .folder import RunFolder, free_port
from .run import Choices, Run
from .soak_clock import WallClock
from .soak_laboratory import Laboratory, Struck
from .soak_measure import rate
from .soak_report import RunRecord, say_table, write_json
from .soak_schedule import KILL_SIM_IN_CURRENT, Deck, Fault, ending_of, faults
from .soak_verdict import Verdict, left_behind, memory_problems, verdict_of
from .summary import Outcome

log = logging.getLogger(__name__)

MISBEHAVIOUR = {
    "duplicate": 0.01, "reorder": 0.01, "zero_prefix": 0.01, "drop": 0.001, "truncate": 0.001,
    "wrong_size": 0.001, "end_early": 0.05, "header_missed": 0.02,
}  # fmt: skip
PICTURE_EVERY_S = 5.0
MOST_RUNS = 1000
LEAST_S = 10.0  # counts for a run that was none
GAVE_UP = ("FramesMissing", "no answer (")  # of a detector killed in the last attempt
NOT_SAFE = "not safe, look at the hardware"
UNWRITTEN = ("frames could not be recorded", "nothing is thrown away")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SoakChoices:
    """What the command line decides.

    every_s: between two faults; keep: the frames of runs that kept every promise
    """

    minutes: float = 30.0
    seed: int = 1
    every_s: float = 10.0
    keep: bool = False


@dataclass
class Soak:
    """One soak from its first run to its table; folder gets a folder for each run."""

    experiment: Experiment
    folder: Path
    choices: SoakChoices
    say: Say
    records: list[RunRecord] = field(default_factory=list)
    _stopped: int = 0

    def execute(self) -> int:
        """Soak; the exit code: 0 every promise was kept, 1 one was not, 130 it was stopped."""
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._stop) for number in handled}
        clock = WallClock(self.folder / "clock")
        try:
            quiet = self._run(0, None, None, 0.0, clock)
            self._judge(quiet, quiet)
            if not quiet.verdict.problems:  # else there is nothing to compare with
                self._disturb(quiet, clock)
        except Exception as error:
            if not self.records:
                raise
            log.exception("soak: run %d", len(self.records))
            self.records[-1].verdict.problems.append(surprise("the laboratory", error))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        good = say_table(self.records, self.choices.seed, self.say)
        write_json(self.records, self.choices.seed, good, self.folder / "soak.json")
        self._draw()
        self.say(f"everything is in {self.folder}")
        if self._stopped:
            return 130
        return 0 if good else 1

    def _draw(self) -> None:
        """memory.png; a figure that cannot be drawn costs nothing else."""
        from .soak_figure import draw_memory

        quiet, *disturbed = (record.measure for record in self.records)
        try:
            draw_memory(quiet, disturbed, self.folder)
        except Exception as error:
            log.exception("soak: memory.png")
            self.say(f"no figure of the memory: {error}")

    def _stop(self, number: int, frame: object) -> None:
        self._stopped += 1
        if self._stopped > 1:
            raise KeyboardInterrupt

    def _disturb(self, quiet: RunRecord, clock: WallClock) -> None:
        """Runs until the minutes are over, every fault was done, and one run was ended by one."""
        seed = self.choices.seed
        deck = Deck(faults(self.experiment.analysis.reducers), seed)
        ending = ending_of(seed)
        left_s = self.choices.minutes * 60
        number, ended = 1, False
        while (left_s > 0 or not ended) and number <= MOST_RUNS and not self._stopped:
            record = self._run(number, deck, ending, left_s, clock)
            left_s -= max(record.disturbed_s, LEAST_S)
            ended = any(struck.fault.ends for struck in record.struck)
            self._judge(record, quiet)
            number += 1

    def _run(
        self, number: int, deck: Deck | None, ending: Fault | None, for_s: float, clock: WallClock
    ) -> RunRecord:
        folder = RunFolder(self.folder / (f"run-{number:03d}" if number else "undisturbed"))
        folder.path.mkdir(parents=True)
        misbehaviour = {**MISBEHAVIOUR, "seed": self.choices.seed + number} if deck else {}
        experiment = prepared(self.experiment, misbehaviour)
        self.say(f"{folder.path.name}: {'faults' if deck else 'nothing is disturbed'}")
        laboratory = Laboratory(folder, clock, self.say, deck, self.choices.every_s, ending, for_s)
        record = one_run(experiment, folder, laboratory, self.say)
        self._stopped += record.outcome.interrupted
        self.records.append(record)
        return record

    def _judge(self, record: RunRecord, quiet: RunRecord) -> None:
        if record.outcome.interrupted or self._stopped:
            record.judged = False
            return
        allowance_mb = float(self.experiment.network.window_MB)
        try:
            record.verdict = judged(record)
        except Exception as error:  # nights of runs are not given up for one
            log.exception("soak: %s", record.folder.path)
            record.verdict.problems.append(surprise("the judge", error))
        record.verdict.problems += memory_problems(
            record.measure.peaks_mb(), quiet.measure.peaks_mb(), allowance_mb
        )
        for line in record.verdict.problems:
            self.say(f"{record.folder.path.name}: BROKEN: {line}")
        if not record.verdict.problems and not self.choices.keep:
            record.folder.file.unlink(missing_ok=True)
            shutil.rmtree(record.folder.spool, ignore_errors=True)
            record.folder.path.joinpath("run.recovered.nxs").unlink(missing_ok=True)


def surprise(who: str, error: Exception) -> str:
    """What somebody has met that he was not made for, as a promise that was not kept."""
    return f"{who} failed: {type(error).__name__}: {error}"


def prepared(experiment: Experiment, misbehaviour: dict[str, float]) -> Experiment:
    """The experiment as it is soaked: over TCP, with a detector that misbehaves.

    misbehaviour: settings of stream/dectris_faults.py, Misbehaviour
    """
    network = experiment.network.model_copy(update={"items": f"tcp://127.0.0.1:{free_port()}"})
    update: dict[str, object] = {"network": network}
    if experiment.simulation is not None:
        update["simulation"] = experiment.simulation.model_copy(
            update={"detector_faults": misbehaviour}
        )
    return experiment.model_copy(update=update)


def one_run(
    experiment: Experiment, folder: RunFolder, laboratory: Laboratory, say: Say
) -> RunRecord:
    """A whole dry run in the hands of a laboratory."""
    choices = Choices(window="pictures", picture_every_s=PICTURE_EVERY_S)
    run = Run(experiment, folder, choices, say, disturbance=laboratory)
    try:
        with laboratory.clock.shown():
            outcome = run.execute()
    finally:
        laboratory.close()
    return RunRecord(
        folder, experiment, outcome, laboratory.struck, laboratory.measure, laboratory.cell,
        rate(run.observer), run.observer.not_recorded(), laboratory.disturbed_s,
    )  # fmt: skip


def judged(record: RunRecord) -> Verdict:
    """Which promises a run has kept; that of its memory needs another run to compare with."""
    misbehaves = bool(record.experiment.simulation and record.experiment.simulation.detector_faults)
    may_lose = misbehaves or any(s.fault.loses for s in record.struck)
    ended = next((s.fault for s in record.struck if s.fault.ends), None)
    verdict = verdict_of(
        record.folder, record.experiment, record.cell, may_lose, record.not_recorded, ended
    )
    if ended == KILL_SIM_IN_CURRENT and not any(
        NOT_SAFE in line for line in record.outcome.trouble
    ):
        verdict.problems.append(f"nobody was told {NOT_SAFE!r}: {record.outcome.trouble}")
    verdict.problems += outcome_problems(
        record.outcome, record.struck, given_up(verdict.lost_shares, record.outcome.trouble)
    )
    verdict.problems += left_behind(record.folder.path)
    return verdict


def given_up(lost_shares: Mapping[int, float], trouble: Sequence[str]) -> bool:
    """Whether a plan may give up: every attempt at its last tomogram lost too many frames.

    lost_shares: of each scan's frames, by its number; all of one whose header was missed, which was
    announced nowhere: where it was the last, the trouble names it
    """
    from ..detectors.dectris import TOO_MANY_LOST
    from ..plans.operando_tomography import ATTEMPTS

    named = [int(n) for line in trouble for n in re.findall(r"frames of scan (\d+)", line)]
    last = max([*lost_shares, *named], default=0)
    attempts = range(last - ATTEMPTS + 1, last + 1)
    return last >= ATTEMPTS and all(lost_shares.get(n, 1.0) > TOO_MANY_LOST for n in attempts)


def outcome_problems(
    outcome: Outcome, struck: list[Struck], may_give_up: bool = False
) -> list[str]:
    """Trouble that no fault explains; and an end that should have been trouble and was none."""
    ended = next((s.fault for s in struck if s.fault.ends), None)
    if ended is not None:
        if any(ended.victim in line for line in outcome.trouble):
            return []
        return [f"{ended} was not named: {outcome.trouble}"]
    full = any(s.fault.kind == "fill the disk of" for s in struck)
    explained = (*(UNWRITTEN if full else ()), *(GAVE_UP if may_give_up else ()))
    return [
        f"the run failed: {line}"
        for line in outcome.trouble
        if not any(words in line for words in explained)
    ]
