from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from operando.stream.compression import decode
from operando.stream.dectris_faults import Misbehaviour
from operando.stream.description import GridAxis, ScanDescription

Make = Callable[..., Any]
DESCRIPTION = ScanDescription(
    "run", "scan", 3, "xrdct", (2, 3),
    (GridAxis("rotation", "deg", 0, (0.0, 90.0)), GridAxis("translation", "um", 1, (-1.0, 0, 1))),
)  # fmt: skip


class Rest:
    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> Any:
        response = httpx.get(f"{self.url}/{path}", trust_env=False, timeout=10)
        return response.json() if response.status_code == 200 else response.status_code

    def put(self, path: str, value: object = None) -> Any:
        body = b"" if value is None else json.dumps({"value": value}).encode()
        response = httpx.put(f"{self.url}/{path}", content=body, trust_env=False, timeout=10)
        if response.status_code != 200:
            return response.status_code
        return response.json() if response.content else None

    def state(self) -> str:
        return str(self.get("detector/api/1.8.0/status/state")["value"])

    def ready(self, mode: str = "exts", description: str = "") -> None:
        for path, value in (
            ("detector/api/1.8.0/config/trigger_mode", mode),
            ("detector/api/1.8.0/config/nimages", 6 if mode == "ints" else 1),
            ("detector/api/1.8.0/config/ntrigger", 1 if mode == "ints" else 6),
            ("detector/api/1.8.0/config/count_time", 0.002),
            ("stream/api/1.8.0/config/mode", "enabled"),
            ("stream/api/1.8.0/config/format", "cbor"),
            ("stream/api/1.8.0/config/header_detail", "all"),
            ("stream/api/1.8.0/config/header_appendix", description or DESCRIPTION.to_json()),
        ):
            self.put(path, value)


def test_parameters_have_the_vendor_s_types(beamline: Make) -> None:
    rest = Rest(beamline(receive=False).simulation.rest_url)
    count_time = rest.get("detector/api/1.8.0/config/count_time")
    assert count_time["value_type"] == "float"
    assert count_time["unit"] == "s"
    assert count_time["access_mode"] == "rw"
    assert rest.get("detector/api/1.8.0/config/x_pixels_in_detector")["value"] == 96
    assert "ntrigger" in rest.get("detector/api/1.8.0/config/keys")
    assert rest.get("detector/api/version")["value"] == "1.8.0"
    assert rest.get("detector/api/1.8.0/status/state")["value"] == "idle"
    assert rest.get("stream/api/1.8.0/config/format")["value"] == "legacy"


def test_a_detector_that_misbehaves_does_so_by_its_seed(beamline: Make, until: Any) -> None:
    faults = Misbehaviour(seed=2, drop=0.2, duplicate=0.2, wrong_size=0.2)
    line = beamline(detector_faults=faults)
    rest = Rest(line.simulation.rest_url)
    rest.ready("ints", DESCRIPTION.to_json())
    rest.put("detector/api/1.8.0/config/nimages", 40)
    series = rest.put("detector/api/1.8.0/command/arm")["sequence id"]
    rest.put("detector/api/1.8.0/command/trigger")
    until(lambda: line.of_stream("ScanStop"), 20)
    (stop,) = line.of_stream("ScanStop")
    lost = {i for i in range(40) if faults.of_image(series, i) in ("drop", "wrong_size")}
    assert lost
    assert set(stop.lost) == lost
    assert {f.index for f in line.of_stream("Frame")} == set(range(40)) - lost


def test_a_wrong_md5_of_stream_v1_is_lost_by_name(beamline: Make, until: Any) -> None:
    faults = Misbehaviour(seed=3, bad_md5=0.2, wrong_size=0.2)
    line = beamline(detector_faults=faults)
    rest = Rest(line.simulation.rest_url)
    rest.ready("ints", DESCRIPTION.to_json())
    rest.put("stream/api/1.8.0/config/format", "legacy")
    rest.put("detector/api/1.8.0/config/nimages", 40)
    series = rest.put("detector/api/1.8.0/command/arm")["sequence id"]
    rest.put("detector/api/1.8.0/command/trigger")
    until(lambda: line.of_stream("ScanStop"), 20)
    (stop,) = line.of_stream("ScanStop")
    drawn = {i: faults.of_image(series, i) for i in range(40) if faults.of_image(series, i)}
    assert set(drawn.values()) == {"bad_md5", "wrong_size"}
    assert set(stop.lost) == set(drawn)
    assert all(("md5" in stop.lost[i]) == (fault == "bad_md5") for i, fault in drawn.items())
    for frame in line.of_stream("Frame"):
        assert decode(frame, verify=True).shape == (64, 96)


def test_a_longer_exposure_takes_its_frame_time_along(beamline: Make) -> None:
    rest = Rest(beamline(receive=False).simulation.rest_url)
    changed = rest.put("detector/api/1.8.0/config/count_time", 0.5)
    assert changed == ["count_time", "frame_time"]
    assert rest.get("detector/api/1.8.0/config/frame_time")["value"] > 0.5


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "detector/api/1.8.0/config/colour", b"", 404),
        ("GET", "nothing", b"", 404),
        ("GET", "detector/api/1.6.0/config/count_time", b"", 404),
        ("PUT", "detector/api/1.8.0/command/fly", b"", 404),
        ("GET", "detector/api/1.8.0/command/arm", b"", 405),
        ("PUT", "detector/api/1.8.0/status/state", b'{"value": "idle"}', 405),
        ("PUT", "detector/api/1.8.0/config/x_pixel_size", b'{"value": 1.0}', 405),
        ("POST", "detector/api/1.8.0/config/count_time", b'{"value": 1.0}', 405),
        ("PUT", "detector/api/1.8.0/config/count_time", b'{"value": "long"}', 400),
        ("PUT", "detector/api/1.8.0/config/count_time", b'{"value": -1}', 400),
        ("PUT", "detector/api/1.8.0/config/count_time", b"not json", 400),
        ("PUT", "detector/api/1.8.0/config/nimages", b'{"value": 1.5}', 400),
        ("PUT", "detector/api/1.8.0/config/trigger_mode", b'{"value": "never"}', 400),
        ("PUT", "detector/api/1.8.0/command/trigger", b"", 400),
    ],
)
def test_wrong_requests_get_the_right_number(
    beamline: Make, method: str, path: str, body: bytes, code: int
) -> None:
    url = beamline(receive=False).simulation.rest_url
    response = httpx.request(method, f"{url}/{path}", content=body, trust_env=False)
    assert response.status_code == code
    assert "\n" not in response.text


def test_every_pulse_becomes_a_frame_of_the_twin(
    beamline: Make, until: Callable[..., None]
) -> None:
    line = beamline()
    rest, detector = Rest(line.simulation.rest_url), line.simulation.detector
    rest.ready()
    assert rest.put("detector/api/1.8.0/command/arm") == {"sequence id": 1}
    assert rest.state() == "ready"
    places = [(r, t) for r in (0.0, 90.0) for t in (-1.0, 0.0, 1.0)]
    assert all(detector.trigger(r, t) for r, t in places)
    until(lambda: line.of_stream("ScanStop"), what="end of the series")
    assert rest.state() == "idle"
    (start,) = line.of_stream("ScanStart")
    assert (start.scan, start.number, start.frames) == ("scan", 3, 6)
    twin = line.simulation.twin
    for frame, (r, t) in zip(line.of_stream("Frame"), places, strict=True):
        wanted = twin.expose(r, t, 0.002, frame.index)
        np.testing.assert_array_equal(decode(frame, verify=True), wanted)
    np.testing.assert_array_equal(start.detector.mask, twin.detector.mask)


def test_pulses_that_nobody_waits_for_fall_on_the_floor(beamline: Make) -> None:
    line = beamline(receive=False)
    assert not line.simulation.detector.trigger(0.0, 0.0)


def test_a_software_trigger_takes_a_burst(beamline: Make, until: Callable[..., None]) -> None:
    line = beamline()
    rest = Rest(line.simulation.rest_url)
    rest.ready("ints")
    rest.put("detector/api/1.8.0/command/arm")
    rest.put("detector/api/1.8.0/command/trigger")
    until(lambda: line.of_stream("ScanStop"), what="end of the series")
    assert len(line.of_stream("Frame")) == 6


@pytest.mark.parametrize("command", ["disarm", "cancel", "abort"])
def test_an_ended_series_says_so_on_the_stream_and_the_next_is_clean(
    beamline: Make, until: Callable[..., None], command: str
) -> None:
    line = beamline()
    rest, detector = Rest(line.simulation.rest_url), line.simulation.detector
    rest.ready()
    rest.put("detector/api/1.8.0/command/arm")
    detector.trigger(0.0, 0.0)
    assert rest.put(f"detector/api/1.8.0/command/{command}") == {"sequence id": 1}
    assert rest.state() == "idle"
    until(lambda: line.of_stream("ScanStop"), what="end of the series")
    (stop,) = line.of_stream("ScanStop")
    assert stop.frames + len(stop.lost) == 6
    again = ScanDescription("run", "second", 4, "xrdct", DESCRIPTION.grid, DESCRIPTION.axes)
    rest.ready(description=again.to_json())
    assert rest.put("detector/api/1.8.0/command/arm") == {"sequence id": 2}
    assert all(detector.trigger(0.0, float(i)) for i in range(6))
    until(lambda: len(line.of_stream("ScanStop")) == 2, what="second series")
    assert line.of_stream("ScanStop")[1].reason == "complete"
    assert rest.put(f"detector/api/1.8.0/command/{command}") == {"sequence id": 2}


def test_an_armed_detector_is_not_armed_again_nor_changed(beamline: Make) -> None:
    rest = Rest(beamline(receive=False).simulation.rest_url)
    rest.ready()
    rest.put("detector/api/1.8.0/command/arm")
    assert rest.put("detector/api/1.8.0/command/arm") == 400
    assert rest.put("detector/api/1.8.0/config/count_time", 1.0) == 400
    rest.put("detector/api/1.8.0/command/abort")
    assert rest.state() == "idle"


def test_an_abort_comes_through_when_nobody_fetches_the_stream(beamline: Make) -> None:
    line = beamline(receive=False)
    rest, detector = Rest(line.simulation.rest_url), line.simulation.detector
    rest.ready()
    rest.put("detector/api/1.8.0/command/arm")
    for i in range(3):
        detector.trigger(0.0, float(i))
    rest.put("detector/api/1.8.0/command/abort")
    assert rest.state() == "idle"
