"""A detector that replays one line of frames at a steady rate: `python -m benchmarks.chain_source`.

It binds, says "ready", waits for a line on standard input, sends a series by the clock, and prints
a line of JSON: when it began [s, the machine's monotonic clock] and how late it was at most. It
stays until standard input closes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
from operando.stream.dectris_emitter import DectrisEmitter
from operando.stream.dectris_series import Start
from operando.stream.description import GridAxis, ScanDescription

from . import data
from .chain_frames import Line, line, places_um

DETECTORS = {d.name: d for d in (data.PILATUS_2M, data.PILATUS_1M, data.PILATUS_300K_W)}
BLOCKED_S = 120.0


def main() -> None:
    """Send one scan."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--detector", choices=DETECTORS, default=data.PILATUS_2M.name)
    parser.add_argument("--address", required=True)
    parser.add_argument("--rate", type=float, required=True, help="frames a second, 0 = no limit")
    parser.add_argument("--projections", type=int, required=True)
    chosen = parser.parse_args()
    frames = line(DETECTORS[chosen.detector], _say)
    with DectrisEmitter(chosen.address, timeout_s=BLOCKED_S) as emitter:
        _say("ready")
        sys.stdin.readline()
        began, late = send(emitter, frames, chosen.rate, chosen.projections)
        emitter.end()
        _say(json.dumps({"began": began, "late_s": late, "cpu_s": time.process_time()}))
        sys.stdin.read()  # what is queued would be lost with this process


def description(projections: int, poni: str) -> ScanDescription:
    """The scan: angles over half a turn in bit-reversed order, translations the fast axis."""
    angles = bit_reversed(projections) * (180.0 / projections)
    return ScanDescription(
        run="benchmark",
        scan=f"benchmark-{time.time_ns()}",
        number=1,
        technique="xrdct",
        grid=(projections, places_um().size),
        axes=(
            GridAxis("rotation", "deg", 0, tuple(angles.tolist())),
            GridAxis("translation", "um", 1, tuple(places_um().tolist())),
        ),
        poni=poni,
    )


def bit_reversed(number: int) -> np.ndarray:
    """0 to number - 1 in the order of their reversed bits."""
    bits = max(number - 1, 1).bit_length()
    order = sorted(range(1 << bits), key=lambda n: int(f"{n:0{bits}b}"[::-1], 2))
    return np.array([n for n in order if n < number])


def send(
    emitter: DectrisEmitter, frames: Line, rate: float, projections: int
) -> tuple[float, float]:
    """Send a series; when the first image was due, and how late one left at most [s]."""
    shape = frames.detector.shape()
    scan = description(projections, frames.poni)
    count = scan.frames()
    pixel = (frames.detector.pixel_m, frames.detector.pixel_m)
    emitter.start(
        Start(
            series=1, images=count, shape=shape, dtype=frames.dtype, unique=scan.scan,
            exposure_s=0.01, frame_time_s=0.01, energy_ev=data.ENERGY_EV, pixel_m=pixel,
            saturation=data.SATURATION, mask=frames.mask, description=frames.detector.name,
            user_data=scan.to_json(),
        )
    )  # fmt: skip
    began, late = time.monotonic() + 0.2, 0.0
    for index in range(count):
        due = began + (index / rate if rate else 0.0)
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        row, column = divmod(index, places_um().size)
        # every second line mirrored: the sample is the same, the noise another
        place = column if row % 2 == 0 else places_um().size - 1 - column
        emitter.image(1, index, frames.payloads[place], time_s=index * 0.01)
        late = max(late, time.monotonic() - due)
    return began, late


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
