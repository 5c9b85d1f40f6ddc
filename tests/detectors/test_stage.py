from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from operando.detectors.stage import CentringStage, FlyScan, MeasuredLine, StageError

Make = Callable[..., Any]
Until = Callable[..., None]


def test_a_flight_gives_every_pulse_and_measures_every_line(beamline: Make, until: Until) -> None:
    line = beamline(receive=False)
    stage = line.stage()
    measured: list[MeasuredLine] = []
    stage.line.subscribe(lambda value, **_: measured.append(stage.measured(value)), run=False)
    scan = FlyScan(
        "abc", tuple(float(a) for a in range(0, 180, 30)), -2.0, 2.0, 5, 0.002, True, 3.0
    )
    stage.prepare(scan).wait(60)
    assert stage.fly_beam.get() == 3.0
    stage.kickoff().wait(60)
    stage.complete().wait(60)
    assert stage.frames.get() == scan.frames() == 30
    until(lambda: len(measured) == 6)
    indices = np.concatenate([m.indices for m in measured])
    np.testing.assert_array_equal(indices, np.arange(30))
    assert {m.scan for m in measured} == {"abc"}
    assert measured[1].rotations_deg == pytest.approx(30.0)
    assert measured[1].translations_um == pytest.approx(np.linspace(2, -2, 5), abs=0.2)


def test_a_second_flight_is_refused_while_one_is_under_way(beamline: Make) -> None:
    stage = beamline(receive=False).stage()
    stage.prepare(FlyScan("long", (0.0,), 0.0, 1.0, 500, 0.05)).wait(60)
    stage.kickoff().wait(60)
    with pytest.raises(StageError, match="under way"):
        stage.kickoff()
    stage.stop()


def test_stop_and_pause_abort_a_flight_short_of_its_frames(beamline: Make) -> None:
    stage = beamline(receive=False).stage()
    for halt in (lambda: stage.stop(), lambda: stage.pause()):
        stage.prepare(FlyScan("long", (0.0,), 0.0, 1.0, 500, 0.02)).wait(60)
        stage.kickoff().wait(60)
        over = stage.complete()
        halt()
        over.wait(60)
        assert stage.frames.get() < 500
        assert stage.fly_state.get(use_monitor=False) == "ABORTED"


def test_the_axes_move(beamline: Make) -> None:
    stage = beamline(receive=False).stage()
    stage.rotation.set(90.0).wait(60)
    stage.translation.set(-12.5).wait(60)
    reading = stage.read()
    assert reading["stage_rotation"]["value"] == 90.0
    assert reading["stage_translation"]["value"] == -12.5
    assert stage.describe()["stage_translation"]["units"] == "um"


def test_complete_without_a_flight_says_so(beamline: Make) -> None:
    stage = beamline(receive=False).stage()
    with pytest.raises(StageError, match="without kickoff"):
        stage.complete()
    with pytest.raises(StageError, match="without prepare"):
        stage.kickoff()


def test_a_held_flight_stands_between_two_lines_and_goes_on(beamline: Make, until: Until) -> None:
    stage = beamline(receive=False).stage()
    stage.prepare(FlyScan("abc", (0.0, 10.0, 20.0), 0.0, 1.0, 20, 0.02)).wait(60)
    stage.kickoff().wait(60)
    over = stage.complete()
    stage.hold.put(1, wait=True)
    until(lambda: stage.held.get(use_monitor=False) == 1)
    standing = stage.frames.get(use_monitor=False)
    assert standing in (20, 40)
    assert not over.done
    stage.hold.put(0, wait=True)
    over.wait(60)
    assert stage.frames.get(use_monitor=False) == 60
    assert stage.held.get(use_monitor=False) == 0


def test_a_held_flight_can_be_aborted_and_the_next_one_flies(beamline: Make, until: Until) -> None:
    stage = beamline(receive=False).stage()
    for held in (True, False):
        stage.prepare(FlyScan("abc", (0.0, 10.0), 0.0, 1.0, 10, 0.02)).wait(60)
        stage.kickoff().wait(60)
        over = stage.complete()
        if held:
            stage.hold.put(1, wait=True)
            until(lambda: stage.held.get(use_monitor=False) == 1)
            stage.stop()
        over.wait(60)
    assert stage.frames.get(use_monitor=False) == 20


@pytest.mark.parametrize("held", [False, True])
def test_a_flight_can_end_after_its_line_whole_and_done(
    beamline: Make, until: Until, held: bool
) -> None:
    stage = beamline(receive=False).stage()
    stage.prepare(FlyScan("abc", (0.0, 10.0, 20.0, 30.0), 0.0, 1.0, 20, 0.02)).wait(60)
    stage.kickoff().wait(60)
    over = stage.complete()
    if held:
        stage.hold.put(1, wait=True)
        until(lambda: stage.held.get(use_monitor=False) == 1)
    stage.finish.put(1, wait=True)
    over.wait(60)
    assert over.success
    assert stage.frames.get(use_monitor=False) in (20, 40, 60)
    stage.hold.put(0, wait=True)
    stage.kickoff().wait(60)  # the next flight has all its lines
    stage.complete().wait(60)
    assert stage.frames.get(use_monitor=False) == 80


def test_the_detector_sees_the_place_that_the_centring_stages_put_on_the_axis(
    beamline: Make,
) -> None:
    line = beamline(receive=False)
    seen: list[tuple[float, float]] = []
    line.simulation.stage._trigger = lambda *ray: seen.append(ray) or True
    stage = line._connected(CentringStage(line.stage_prefix, name="stage"))
    stage.centre_x.set(3.0).wait(60)
    stage.centre_y.set(-2.0).wait(60)
    stage.prepare(FlyScan("abc", (0.0, 90.0, 180.0), -1.0, 1.0, 3, 0.005)).wait(60)
    stage.kickoff().wait(60)
    stage.complete().wait(60)
    rays = np.array(seen).reshape(3, 3, 2)
    np.testing.assert_allclose(rays[:, :, 0], np.repeat([[0.0], [90.0], [180.0]], 3, axis=1))
    beside = np.array([[3.0], [-2.0], [-3.0]])  # x cos + y sin
    line_um = np.array([-1.0, 0.0, 1.0])
    np.testing.assert_allclose(rays[:, :, 1], beside + line_um, atol=0.15)
