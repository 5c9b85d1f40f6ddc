"""What honest senders send: the seeds that fuzzing damages."""

from __future__ import annotations

import numpy as np
from operando.stream import compression, dectris_series, dectris_v1, dectris_v2
from operando.stream.dectris_series import Image, Start
from operando.stream.description import GridAxis, ScanDescription
from operando.stream.messages import (
    Axis,
    CellState,
    Decision,
    Detector,
    Document,
    Focus,
    Frame,
    Message,
    Positions,
    Proposal,
    Reduction,
    Result,
    Samples,
    ScanStart,
    ScanStop,
    Status,
    Trajectory,
    Withdrawal,
)
from operando.stream.packing import pack
from operando.stream.wire_ops import (
    Ack,
    AckFrame,
    Beat,
    Bye,
    Free,
    Hello,
    Put,
    Share,
    Shared,
    pack_op,
)  # fmt: skip

SHAPE = (24, 40)
PIXELS = [np.random.default_rng(i).poisson(3, SHAPE).astype(np.uint16) for i in range(4)]
PAYLOADS = {e: [compression.encode(p, e) for p in PIXELS] for e in compression.ENCODINGS}
DESCRIPTION = ScanDescription(
    *("run", "scan", 1, "xrdct", (2, 2)),
    (
        GridAxis("rotation", "deg", 0, (0.0, 90.0)),
        GridAxis("translation", "um", 1, (0.0, 1.0)),
    ),
    cell=CellState(1.0, 3.9, 0.0, 0.0, 21.0, "OCV"),
    notes={"sample": "LMO"},
)  # fmt: skip
EXPERIMENT = """
title: t
cell: {current_A: -8.0e-6, cutoff_V: 3.0}
marks: [{capacity_mAh: 0.002}, {voltage_V: 3.9}]
scan: {exposure_s: 0.01, translations: {points: 11}, angles: {count: 8, order: sequential}}
analysis: {reducers: 2, consumers: {intensity: {}}}
simulation: {clock: 60.0, detector_faults: {drop: 0.1}}
network: {items: 'tcp://127.0.0.1:7001', window_MB: 64}
"""


def start_of(series: int = 1) -> Start:
    return Start(
        series, 4, SHAPE, "uint16", unique=f"u{series}", energy_ev=5e4, exposure_s=0.01,
        mask=np.eye(*SHAPE, dtype=bool), user_data=DESCRIPTION.to_json(),
        arm_date="2024-03-12T10:00:00+00:00",
    )  # fmt: skip


def image_of(index: int, encoding: str = "bslz4", series: int = 1) -> Image:
    data = PAYLOADS[encoding][index]
    return Image(series, index, SHAPE, "<u2", encoding, data, 0, False, 0.5, f"u{series}")


def scan_start(scan: str = "s") -> ScanStart:
    detector = Detector("d", SHAPE, "uint16", (75e-6, 75e-6), 65535, np.eye(*SHAPE, dtype=bool))
    axis = Axis("x", "um", np.arange(4.0))
    return ScanStart(
        "r", scan, 1, "frames", 4, detector, Trajectory((4,), (axis,)), "poni", 5e4, 0.1,
        DESCRIPTION.cell, 0.0, {"n": 1},
    )  # fmt: skip


def frame_of(index: int, scan: str = "s", encoding: str = "bslz4") -> Frame:
    data = PAYLOADS[encoding][index]
    return Frame(scan, index, SHAPE, "uint16", encoding, data, compression.checksum(data), 0.1)


def messages() -> list[Message]:
    """One of each kind that peers send."""
    three = np.arange(3.0)
    return [
        scan_start(), frame_of(0), frame_of(1, encoding="raw"),
        ScanStop("s", 3, "complete", {3: "x"}),
        Positions("s", "x", "um", np.arange(3), three), Document("r", "start", '{"a": 1}'),
        Samples("r", three, three, three, three, three, three, ("a", "b", "c")),
        Reduction("s", 1, {"xrdct": np.ones((2, 3), np.float32)}, {"intensity": "no"}),
        Result("r", "s", 1, "xrdct", "a", ("y",), {"y": three}, {"y": "um"}, "", three, three,
               0.5, 1, True, True, {"low": 8.0}),
        Status("plan", "scanning", 1.0, {"n": 1, "x": 0.5}), Focus("s", 1, 2),
        Withdrawal("s", 3, "good enough"),
        Proposal("r", "r-1", "roi", "s", "it deviates", (1.0, -2.0, 6.0), 0.01, 9.0, 1e6,
                 60.0, 0.0),
        Decision("r", "r-1", "approved", "window", "", 1.0),
    ]  # fmt: skip


SOUND = [[bytes(p) for p in pack(m)] for m in messages()]
OPS = [
    pack_op(op)
    for op in (
        Put(1, 1, ""), Hello("record", "all", "hostile", 4), Ack((1, 2), ""), AckFrame("s", 1, ""),
        Beat(b"x"), Bye(), Put(1, 1, "", (1, 128, 64, 1)), Share(1, 1, 3, 1 << 20),
        Shared(1, "no"), Free((1, 2)), Hello("record", "all", "maps", 4, 1),
    )
]  # fmt: skip
V2 = [
    dectris_v2.build_start(start_of()),
    *(dectris_v2.build_image(image_of(i, e)) for i in (0, 1) for e in compression.ENCODINGS),
    dectris_v2.build_end(dectris_series.End(1, "u1")),
]
V1 = [
    dectris_v1.build_start(start_of()),
    dectris_v1.build_start(start_of(), "basic"),
    *(dectris_v1.build_image(image_of(i, e)) for i in (0, 1) for e in compression.ENCODINGS),
    dectris_v1.build_end(dectris_series.End(1)),
]
INDEX_OF = {data: i for e in PAYLOADS for i, data in enumerate(PAYLOADS[e])}
PIXELS_OF = {(e, data): i for e in PAYLOADS for i, data in enumerate(PAYLOADS[e])}
IMAGES_SENT = range(4)
