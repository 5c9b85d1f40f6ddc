"""The simulator of LiberTEM-live with a series of ours: `python -m benchmarks.libertem_source`.

It prints its ports as JSON, then serves until its standard input closes.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
from operando.stream import compression, dectris_v1
from operando.stream.dectris_series import End, Image, Start

SHAPE = (512, 512)
COUNTS = 3.0


def pixels(number: int) -> np.ndarray:
    """The different frames of the series, (number, 512, 512) uint16."""
    random = np.random.default_rng(11)
    row, col = np.ogrid[: SHAPE[0], : SHAPE[1]]
    radius = np.hypot(row - 255.5, col - 255.5)
    means = COUNTS * (1 + 4 * np.exp(-(((radius - 120) / 6) ** 2)))
    return random.poisson(means, (number, *SHAPE)).astype(np.uint16)


def frame_of(index: int, different: int) -> int:
    """Which of the different frames image index is."""
    return (index * 7) % different


def write_capture(path: Path, frames: int, different: int) -> None:
    """A series in the simulator's own format: every part with its length before it."""
    start = Start(1, frames, SHAPE, "uint16", exposure_s=1e-3, frame_time_s=1.0001e-3)
    opening, config = dectris_v1.build_start(start, "basic")
    fields = {**json.loads(config), "trigger_mode": "exte", "nimages": 1, "ntrigger": frames}
    payloads = [compression.encode(each, "bslz4") for each in pixels(different)]
    with path.open("wb") as file:
        parts = [opening, json.dumps(fields).encode()]
        for index in range(frames):
            payload = payloads[frame_of(index, different)]
            image = Image(1, index, SHAPE, "<u2", "bslz4", payload, time_s=index * 1e-3)
            parts += dectris_v1.build_image(image, 1e-3)
        parts += dectris_v1.build_end(End(1))
        for part in parts:
            file.write(struct.pack("<q", len(part)) + part)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--different", type=int, required=True)
    chosen = parser.parse_args()
    from libertem_live.detectors.dectris.sim import DectrisSim

    with tempfile.TemporaryDirectory(prefix="operando-libertem-") as folder:
        path = Path(folder) / "series.dump"
        write_capture(path, chosen.frames, chosen.different)
        simulator = DectrisSim(port=0, zmqport=0, path=str(path), verbose=False)
        simulator.start()
        simulator.wait_for_listen()
        print(json.dumps({"api": simulator.port, "data": simulator.zmqport}), flush=True)
        sys.stdin.read()
        simulator.stop()


if __name__ == "__main__":
    main()
