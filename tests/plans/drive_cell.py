"""Run the plan in a process of its own, to be killed: prefixes and URL on the command line."""

from __future__ import annotations

import sys

from operando.detectors.dectris import DectrisDetector
from operando.detectors.potentiostat import Potentiostat
from operando.detectors.stage import ScanStage
from operando.detectors.techniques import Limits
from operando.plans.engine import Stopped, make_engine, pause_on_signals, run_safely
from operando.plans.operando_tomography import operando_tomography


def main(cell_prefix: str, stage_prefix: str, url: str, lease_s: str) -> int:
    """Tell each phase on standard output; 3 after a signal."""
    limits = Limits(2.8, 4.4, 1e-4, 1e-4, 50.0)
    cell = Potentiostat(cell_prefix, name="cell", limits=limits, lease_s=float(lease_s))
    stage = ScanStage(stage_prefix, name="stage")
    detector = DectrisDetector(url, name="eiger")
    cell.wait_for_connection(timeout=20)
    stage.wait_for_connection(timeout=20)
    told: list[str] = []

    def report(phase: str, values: dict[str, object]) -> None:
        if phase == "scanning" and values["frames_done"] == 0:
            return
        if phase not in told:
            told.append(phase)
            print(phase, flush=True)

    plan = operando_tomography(
        cell,
        stage,
        detector,
        [{"capacity_ah": 2e-6}],
        current_a=-8e-6,
        cutoff_v=3.0,
        angles=8,
        translations=8,
        relaxation_s=600.0,
        exposure_s=0.002,
        dwell_s=0.05,
        report=report,
    )
    engine = make_engine()
    with pause_on_signals(engine, last=True):
        try:
            run_safely(engine, plan, cell)
        except Stopped as error:
            print(error, flush=True)
            return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
