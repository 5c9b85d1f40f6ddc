"""A scan whose start message never came is taken again, and the plan says why."""

from __future__ import annotations

import pytest
from operando.plans.engine import make_engine, run_safely
from operando.plans.operando_tomography import operando_tomography
from operando.stream.dectris_faults import Misbehaviour

FAULTS = Misbehaviour(seed=4, header_missed=0.5)  # of the first series, not of the second


def test_a_scan_without_a_header_is_taken_again_by_name(
    beamline, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [FAULTS.of_series(n) for n in (1, 2)] == ["header_missed", ""]
    monkeypatch.setattr("operando.detectors.dectris.ARRIVAL_S", 0.5)
    line = beamline(detector_faults=FAULTS)
    cell, stage, detector = line.potentiostat(), line.stage(), line.detector()
    detector._arrived = lambda scan: sum(f.scan == scan for f in line.of_stream("Frame"))
    told: list[tuple[str, str]] = []
    plan = operando_tomography(
        cell, stage, detector, [{"capacity_ah": 2e-6}], current_a=-8e-6, cutoff_v=3.0, angles=4,
        translations=8, relaxation_s=600.0, exposure_s=0.002, dwell_s=0.0,
        report=lambda phase, values: told.append((phase, str(values.get("reason", "")))),
    )  # fmt: skip
    run_safely(make_engine(), plan, cell)
    why = {reason for phase, reason in told if phase == "scan is taken again"}
    assert why == {
        "eiger took 32 frames of scan 1, 0 arrived: see whether its stream is heard, "
        "and by nobody else"
    }
    (start,) = line.of_stream("ScanStart")
    assert (start.number, start.notes["attempt"]) == (2, 2)
    assert len(line.of_stream("Frame")) == 32
    assert line.cell == "HOLD_OCV"
