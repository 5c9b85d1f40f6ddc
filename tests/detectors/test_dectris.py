from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from bluesky.protocols import Flyable, Preparable, Stageable, WritesStreamAssets
from bluesky.utils import NoReplayAllowed
from operando.detectors.dectris import DectrisDetector, DetectorError, FramesMissing
from operando.detectors.exposure import Exposure, RunFile
from operando.detectors.simplon import NoAnswer, Simplon, SimplonError
from operando.stream.description import GridAxis, ScanDescription

Make = Callable[..., Any]
Until = Callable[..., None]


def described(scan: str = "scan") -> ScanDescription:
    return ScanDescription(
        "run", scan, 1, "xrdct", (2, 3),
        (GridAxis("rotation", "deg", 0, (0.0, 90.0)), GridAxis("translation", "um", 1, (0, 1, 2))),
        notes={"who": "tests"},
    )  # fmt: skip


def test_it_obeys_bluesky_s_protocols(beamline: Make) -> None:
    detector = beamline(receive=False).detector()
    for protocol in (Flyable, Preparable, Stageable, WritesStreamAssets):
        assert isinstance(detector, protocol)
    assert detector.read()["eiger_temperature"]["value"] == pytest.approx(22.3)
    assert detector.describe()["eiger_temperature"]["units"] == "degC"
    assert detector.read_configuration()["eiger_photon_energy"]["value"] == 50_000.0


def test_a_flight_ends_with_all_frames_and_tells_where_they_are(
    beamline: Make, until: Until
) -> None:
    line = beamline()
    detector = line.detector()
    detector._run_file = lambda d: RunFile(f"file://localhost/data/{d.run}.nxs", f"/{d.scan}/data")
    detector.stage()
    detector.prepare(Exposure(described(), 0.002, energy_ev=40_000.0)).wait(60)
    assert detector.state.get() == "ready"
    detector.kickoff().wait(60)
    done = detector.complete()
    assert not done.done
    for i in range(6):
        line.simulation.detector.trigger(0.0, float(i))
    done.wait(60)
    assert detector.get_index() == 6
    (key, description), *rest = detector.describe_collect().items()
    assert (key, rest) == ("eiger", [])
    assert description["shape"] == [1, 64, 96]
    assert description["dtype_numpy"] == "<u2"
    resource, datum = list(detector.collect_asset_docs())
    assert resource[1]["uri"] == "file://localhost/data/run.nxs"
    assert resource[1]["parameters"]["dataset"] == "/scan/data"
    assert resource[1]["data_key"] == key
    assert datum[1]["indices"] == {"start": 0, "stop": 6}
    assert list(detector.collect_asset_docs()) == []
    detector.unstage()
    until(lambda: line.of_stream("ScanStop"))
    (start,) = line.of_stream("ScanStart")
    assert (start.scan, start.energy_ev, start.notes["who"]) == ("scan", 40_000.0, "tests")


def test_the_detector_s_own_pace_needs_no_stage(beamline: Make, until: Until) -> None:
    line = beamline()
    detector = line.detector()
    detector.stage()
    detector.prepare(Exposure(described(), 0.002, trigger_mode="ints")).wait(60)
    detector.kickoff().wait(60)
    detector.complete().wait(60)
    assert detector.get_index() == 6


def test_one_that_was_switched_on_is_initialized_before_it_is_armed(beamline: Make) -> None:
    line = beamline(receive=False)
    line.simulation.detector._state = "na"
    detector = line.detector()
    with pytest.raises(SimplonError, match="initialize the detector first"):
        detector.simplon.command("arm")
    detector.stage()
    assert line.simulation.detector.state == "idle"
    detector.prepare(Exposure(described(), 0.002)).wait(60)
    assert line.simulation.detector.state == "ready"
    detector.unstage()


def test_one_that_was_started_anew_gets_the_settings_that_people_gave_it(
    beamline: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = beamline(receive=False)
    detector, server = line.detector(), line.simulation.detector
    given = {
        "photon_energy": 60_000.0, "threshold_energy": 25_000.0, "compression": "lz4",
        "countrate_correction_applied": True, "beam_center_x": 31.5,
    }  # fmt: skip

    def gone(*_: Any) -> Any:
        raise NoAnswer("nobody")

    makers = {name: server.detector[name].value for name in given}
    for name, value in given.items():
        detector.simplon.put("detector", name, value)
    detector.stage()
    for name, value in makers.items():
        server.detector[name].value = value
    server._state = "na"
    with monkeypatch.context() as context:
        context.setattr(detector.simplon, "put", gone)  # once more, before all of them are back
        with pytest.raises(NoAnswer):
            detector.stage()
    detector.stage()
    assert {name: server.detector[name].value for name in given} == given
    detector.simplon.put("detector", "beam_center_x", 7.0)  # while it is well, people may
    detector.stage()
    assert server.detector["beam_center_x"].value == 7.0


def test_it_says_whether_somebody_is_at_its_address(beamline: Make) -> None:
    assert beamline(receive=False).detector().answers()
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and listens to nobody
        nobody = DectrisDetector(f"http://127.0.0.1:{deaf.getsockname()[1]}", name="nobody")
        assert not nobody.answers()
    nobody.destroy()


@pytest.mark.parametrize("code", [502, 503, 504])
def test_a_server_that_stands_before_one_that_is_away_is_nobody(code: int) -> None:
    detector = DectrisDetector("http://detector", name="eiger")
    words = httpx.MockTransport(lambda request: httpx.Response(code, text="<h1>Bad\ngateway</h1>"))
    detector.simplon._client = httpx.Client(transport=words)
    assert not detector.answers()
    with pytest.raises(NoAnswer, match=rf"no answer \({code} <h1>Bad gateway</h1>\)"):
        detector.stage()
    detector.destroy()


def test_a_pause_in_flight_disarms_and_forbids_the_replay(beamline: Make) -> None:
    line = beamline()
    detector = line.detector()
    detector.pause()  # nothing is going on: nothing to forbid
    detector.stage()
    detector.prepare(Exposure(described(), 0.002)).wait(60)
    detector.kickoff().wait(60)
    done = detector.complete()
    line.simulation.detector.trigger(0.0, 0.0)
    with pytest.raises(NoReplayAllowed):
        detector.pause()
    done.wait(60)
    assert detector.get_index() == 0
    assert detector.state.get() == "idle"
    with pytest.raises(DetectorError, match="not armed"):
        detector.kickoff()


def test_stage_ends_what_somebody_left_armed(beamline: Make) -> None:
    line = beamline()
    first = line.detector()
    first.stage()
    first.prepare(Exposure(described("left"), 0.002)).wait(60)
    second = line.detector()
    second.stage()
    assert second.state.get() == "idle"


def test_a_refusal_names_the_url_and_what_the_detector_said(beamline: Make) -> None:
    line = beamline(receive=False)
    simplon = Simplon(line.simulation.rest_url)
    with pytest.raises(SimplonError, match=r"PUT http://.*count_time: 400 .*needs a number") as e:
        simplon.put("detector", "count_time", "long")
    assert "\n" not in str(e.value)
    with pytest.raises(SimplonError, match=r"config/colour: 404"):
        simplon.get("detector", "config", "colour")
    simplon.close()


def test_a_detector_that_is_not_there_is_one_line() -> None:
    simplon = Simplon("http://127.0.0.1:9", timeout_s=1.0)
    with pytest.raises(SimplonError, match=r"GET http://127.0.0.1:9/.*: no answer") as e:
        simplon.get("detector", "status", "state")
    assert "\n" not in str(e.value)
    simplon.close()


def test_an_exposure_the_detector_cannot_do_fails_the_status(beamline: Make) -> None:
    detector = beamline(receive=False).detector()
    detector.stage()
    status = detector.prepare(Exposure(described(), -1.0))
    with pytest.raises(SimplonError, match="count_time: 400"):
        status.wait(60)
    assert detector.state.get() == "idle"


def connected(line: Any, **settings: Any) -> Any:
    device = DectrisDetector(line.simulation.rest_url, name="eiger", **settings)
    line.devices.append(device)
    return device


def fly(line: Any, detector: Any) -> Any:
    """Six frames; the status of complete()."""
    detector.stage()
    detector.prepare(Exposure(described(), 0.002)).wait(60)
    detector.kickoff().wait(60)
    done = detector.complete()
    for i in range(6):
        line.simulation.detector.trigger(0.0, float(i))
    return done


def test_a_series_that_somebody_else_has_armed_meanwhile_is_ended_and_ours_is_taken(
    beamline: Make,
) -> None:
    line = beamline()
    detector = connected(line)
    detector.stage()
    line.simulation.detector.arm()  # nothing can be configured now
    detector.prepare(Exposure(described(), 0.002)).wait(60)
    detector.kickoff().wait(60)
    done = detector.complete()
    for i in range(6):
        line.simulation.detector.trigger(0.0, float(i))
    done.wait(60)
    detector.unstage()
    assert line.simulation.detector.frames_sent == 6


def test_a_flight_is_over_when_its_frames_have_arrived(beamline: Make) -> None:
    line = beamline()
    detector = connected(line, arrived=lambda scan: len(line.of_stream("Frame")))
    fly(line, detector).wait(60)
    assert len(line.of_stream("Frame")) == 6


def test_a_detector_that_was_started_anew_has_not_ended_its_series(beamline: Make) -> None:
    line = beamline(receive=False)
    detector = line.detector()
    detector.stage()
    detector.prepare(Exposure(described(), 0.002)).wait(60)
    detector.kickoff().wait(60)
    done = detector.complete()
    line.simulation.detector._state = "na"
    with pytest.raises(NoAnswer, match="started anew in the middle of a series"):
        done.wait(60)
    assert detector.get_index() == 0
    line.simulation.detector._state = "ready"


def test_frames_that_nobody_hears_fail_the_flight(
    beamline: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operando.detectors.dectris.ARRIVAL_S", 0.3)
    line = beamline()
    done = fly(line, connected(line, arrived=lambda scan: 2))
    with pytest.raises(FramesMissing, match="took 6 frames of scan 1, 2 arrived"):
        done.wait(60)


def test_a_flight_whose_frames_are_lost_is_none(beamline: Make) -> None:
    line = beamline()
    done = fly(line, connected(line, arrived=lambda scan: 6, lost=lambda scan: 1))
    with pytest.raises(FramesMissing, match="1 of the 6 frames of scan 1 are lost"):
        done.wait(60)


def test_the_older_stream_carries_the_same_scan(beamline: Make, until: Until) -> None:
    line = beamline()
    fly(line, connected(line, stream_format="legacy")).wait(60)
    until(lambda: line.of_stream("ScanStop"))
    (start,) = line.of_stream("ScanStart")
    assert (start.scan, start.technique, start.trajectory.grid) == ("scan", "xrdct", (2, 3))
    assert start.detector.mask is not None
    assert len(line.of_stream("Frame")) == 6
    assert line.of_stream("ScanStop")[0].reason == "complete"


def test_a_series_can_end_early_with_all_that_it_took(beamline: Make, until: Until) -> None:
    line = beamline()
    detector = line.detector()
    detector.stage()
    detector.prepare(Exposure(described(), 0.002)).wait(60)
    detector.kickoff().wait(60)
    done = detector.complete()
    for i in range(3):
        assert line.simulation.detector.trigger(0.0, float(i))
    detector.end_early.set(3).wait(60)
    done.wait(60)
    assert done.success
    assert detector.get_index() == 3
    assert not line.simulation.detector.trigger(0.0, 3.0)
    assert [d[1]["indices"] for d in detector.collect_asset_docs() if "indices" in d[1]] == [
        {"start": 0, "stop": 3}
    ]
    until(lambda: line.of_stream("ScanStop"))
    assert [f.index for f in line.of_stream("Frame")] == [0, 1, 2]
    detector.unstage()
    detector.prepare(Exposure(described("next"), 0.002)).wait(60)  # and the next one is whole
    detector.kickoff().wait(60)
    done = detector.complete()
    for i in range(6):
        line.simulation.detector.trigger(0.0, float(i))
    done.wait(60)
    assert detector.get_index() == 6
