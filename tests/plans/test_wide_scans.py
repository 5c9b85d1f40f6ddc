"""Wide scans before the discharge: what they ask for, in which order, and that they are taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from operando.plans.board import Board
from operando.plans.budget import Budget
from operando.plans.dose import Beam, DoseBook
from operando.plans.engine import make_engine, run_safely
from operando.plans.operando_tomography import operando_tomography
from operando.plans.rescans import Adaptive, Rules
from operando.plans.tomogram import Tomogram
from operando.plans.wide_scans import WideScan, in_order
from operando.stream.messages import Result

BROAD = WideScan("broad", 4, 5, 50.0, exposure_s=0.002, dwell_s=0.004, beam_um=50.0)
COARSE = WideScan("coarse", 4, 6, 20.0, centre_um=3.0, exposure_s=0.002, dwell_s=0.004)


def test_a_wide_scan_is_the_runs_tomogram_with_another_field() -> None:
    scan = Tomogram(
        (0.0, 90.0), -1.0, 1.0, 3, True, 0.01, 0.02, 0.0, "poni", "xrdct",
        {"role": "slice", "cell": "LMO", "angle_order": "sequential"}, beam_um=1.0,
    )  # fmt: skip
    broad, coarse = BROAD.tomogram(scan), COARSE.tomogram(scan)
    assert (broad.start_um, broad.stop_um, broad.points, broad.frames()) == (-100.0, 100.0, 5, 20)
    assert (coarse.start_um, coarse.stop_um) == (-47.0, 53.0)
    assert broad.angles_deg == (0.0, 90.0, 45.0, 135.0)
    assert (broad.beam_um, coarse.beam_um) == (50.0, 1.0)
    assert (broad.dwell_s, broad.snake, broad.poni) == (0.004, True, "poni")
    assert broad.notes == {"role": "broad", "cell": "LMO", "angle_order": "bit_reversed"}


@pytest.mark.parametrize(
    "wrong", [("slice", 4, 5, 1.0), ("broad", 1, 5, 1.0), ("coarse", 4, 3, 1.0), ("broad", 4, 5, 0)]
)
def test_a_wide_scan_that_cannot_be_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="broad or coarse"):
        WideScan(*wrong)


def test_the_broad_scan_comes_first() -> None:
    assert in_order([COARSE, BROAD, COARSE]) == [BROAD, COARSE, COARSE]


def test_they_are_taken_at_open_circuit_before_the_discharge(
    beamline: Callable[..., Any], until: Callable[..., None]
) -> None:
    line = beamline()
    cell, stage, detector = line.potentiostat(), line.stage(), line.detector()
    phases: list[str] = []

    def report(phase: str, values: dict[str, Any]) -> None:
        if not phases or phases[-1] != phase:
            phases.append(phase)

    sent: list[Any] = []
    adaptive = Adaptive(
        Rules(frozenset(), Budget(0.0, 0)), Board(sent.append), sent.append,
        DoseBook(Beam(1e9, 1.0), 8, 1.0),
    )  # fmt: skip
    plan = operando_tomography(
        cell, stage, detector, [{"capacity_ah": 2e-6}], current_a=-8e-6, cutoff_v=3.0, angles=4,
        translations=8, relaxation_s=60.0, exposure_s=0.002, dwell_s=0.004, beam_um=1.0,
        before=[COARSE, BROAD], report=report, adaptive=adaptive,
    )  # fmt: skip
    run_safely(make_engine([]), plan, cell)
    assert phases == ["scanning", "discharging", "relaxing", "scanning", "discharging", "finished"]
    until(lambda: len(line.of_stream("ScanStop")) == 3)
    doses = [float(m.values[4, 4]) for m in sent if isinstance(m, Result)]
    # of each scan: 4 angles, 1e9 photons/s for 2 ms, over its step and 1 um
    assert np.diff([0.0, *doses]) == pytest.approx(
        [8e6 / 50.0, 8e6 / COARSE.step_um, 8e6], rel=1e-4
    )
    starts = line.of_stream("ScanStart")
    assert [(s.number, s.notes["role"], s.notes["mark"]) for s in starts] == [
        (1, "broad", 0), (2, "coarse", 0), (3, "slice", 1),
    ]  # fmt: skip
    assert [s.trajectory.grid for s in starts] == [(4, 5), (4, 6), (4, 8)]
    for start in starts[:2]:
        assert start.cell.state in ("IDLE", "HOLD_OCV")
        assert start.cell.current_a == pytest.approx(0.0, abs=1e-9)
        assert start.cell.charge_ah == pytest.approx(0.0, abs=1e-9)
