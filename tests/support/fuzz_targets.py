"""What is fuzzed, and what must never happen: a target takes a seed and says what came of it.

An outcome is "accepted", "same" (accepted and equal to what was sent) or "rejected: TYPE". Whatever
else is raised, and whatever breaks a promise, is a Broken: pixels that differ from those sent
although a checksum was taken before the damage, or a message that does not survive its own round
trip.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import hostile_bytes as hostile
import numpy as np
import yaml
from operando.cli.experiment_file import ExperimentError, parse
from operando.stream import bounded_cbor, compression, dectris_series, dectris_v1, dectris_v2
from operando.stream.dectris_series import Image, Start, StreamError
from operando.stream.description import DescriptionError, from_json
from operando.stream.messages import (
    Frame,
)
from operando.stream.packing import PackingError, pack, unpack
from operando.stream.recorder import Recorder
from operando.stream.run_file import RunFileError, open_run
from operando.stream.wire_ops import (
    WireError,
    pack_op,
    unpack_op,
)  # fmt: skip
from sound_messages import (
    DESCRIPTION,
    EXPERIMENT,
    INDEX_OF,
    OPS,
    PAYLOADS,
    PIXELS,
    SHAPE,
    SOUND,
    V1,
    V2,
    frame_of,
    messages,
)


class Broken(AssertionError):
    """A promise that did not hold."""


def rejected(error: Exception) -> str:
    return f"rejected: {type(error).__name__}"


def hostile_message(random: Random) -> list[bytes]:
    """Parts of a packed message, damaged in the header, in a buffer, or in their number."""
    parts = list(random.choice(SOUND))
    kind = random.random()
    if kind < 0.45:
        parts[0] = hostile.mutated_msgpack(random, parts[0])
    elif kind < 0.7:
        place = random.randrange(len(parts))
        parts[place] = hostile.mutated(random, parts[place], [s[0] for s in SOUND])
    elif kind < 0.8:
        parts = [p for p in parts if random.random() < 0.7]
    elif kind < 0.9:
        parts.insert(random.randrange(len(parts) + 1), random.choice(SOUND)[-1])
    elif kind < 0.95:
        parts[0] = random.choice(list(hostile.MSGPACK.values()))
    else:
        parts = list(random.choice(list(hostile.MESSAGES.values())))
    return parts


def packing(random: Random) -> str:
    parts = hostile_message(random)
    try:
        message = unpack(parts)
    except PackingError as error:
        return rejected(error)
    again = [bytes(p) for p in pack(message)]
    if [bytes(p) for p in pack(unpack(again))] != again:
        raise Broken(f"a {type(message).__name__} that changes when it is sent on")
    if isinstance(message, Frame):
        return _pixels(message)
    return "accepted"


def _pixels(frame: Frame) -> str:
    """A frame's pixels: those that were sent, or an error."""
    try:
        pixels = compression.decode(frame, verify=True)
    except compression.DecodeError as error:
        return rejected(error)
    sent = INDEX_OF.get(bytes(frame.data))
    if sent is None:
        raise Broken("a damaged payload whose checksum fits")
    like_announced = (frame.shape, frame.dtype) == (SHAPE, "uint16")
    own = bytes(frame.data) in PAYLOADS.get(frame.encoding, [])
    if not (like_announced and own):
        return "accepted"  # another header: refused by whoever knows the scan
    if not np.array_equal(pixels, PIXELS[sent]):
        raise Broken(f"wrong pixels in frame {frame.index}")
    return "same"


def wire_ops(random: Random) -> str:
    op = random.choice(OPS)
    kind = random.random()
    if kind < 0.1:
        op = random.choice(list(hostile.MSGPACK.values()))
    elif kind < 0.5:
        op = hostile.mutated_msgpack(random, op)
    else:
        op = hostile.mutated(random, op, OPS)
    try:
        found = unpack_op(op)
    except WireError as error:
        return rejected(error)
    if unpack_op(pack_op(found)) != found:
        raise Broken(f"an operation that changes when it is said again: {found}")
    return "accepted"


def hostile_v2(random: Random) -> bytes:
    kind = random.random()
    if kind < 0.05:
        return random.choice([*hostile.CBOR.values(), *hostile.PORT_SCANNERS.values()])
    if kind < 0.35:
        return hostile.mutated_cbor(random, random.choice(V2))
    return hostile.mutated(random, random.choice(V2), V2)


def cbor(random: Random) -> str:
    try:
        bounded_cbor.read_map(memoryview(hostile_v2(random)))
    except bounded_cbor.CborError as error:
        return rejected(error)
    return "accepted"


def v2_stream(random: Random) -> str:
    try:
        item = dectris_v2.parse(memoryview(hostile_v2(random)))
        if isinstance(item, Start):
            return _announced(item)
        return _frame_of(item) if isinstance(item, Image) else "accepted"
    except StreamError as error:
        return rejected(error)


def _announced(start: Start) -> str:
    if start.images > 10_000:  # a trajectory of so many is memory, not a fault
        return "accepted"
    announced = dectris_series.scan_start(start)
    again = [bytes(p) for p in pack(announced)]
    if [bytes(p) for p in pack(unpack(again))] != again:
        raise Broken("a scan that changes when it is sent on")
    return "accepted"


def _frame_of(image: Image) -> str:
    """An image that the parser let through: sound data give their pixels."""
    frame = dectris_series.frame(image, "s")
    try:
        pixels = compression.decode(frame, verify=True)
    except compression.DecodeError as error:
        return rejected(error)
    sent = INDEX_OF.get(bytes(image.data))
    plain = (image.shape, image.dtype, image.column_major) == (SHAPE, "<u2", False)
    width = 0 if image.encoding != "bslz4" else 2
    if sent is None or not plain or image.shuffled_bytes not in (0, width):
        return "accepted"
    if bytes(image.data) not in PAYLOADS.get(image.encoding.removesuffix("-block"), []):
        return "accepted"
    if not np.array_equal(pixels, PIXELS[sent]):
        raise Broken(f"wrong pixels in image {image.index}")
    return "same"


def hostile_v1(random: Random) -> list[bytes]:
    parts = list(random.choice(V1))
    kind = random.random()
    if kind < 0.05:
        return random.choice(list(hostile.PARTS.values()))
    if kind < 0.4:
        place = random.choice([i for i, p in enumerate(parts) if p[:1] == b"{"])
        parts[place] = hostile.mutated_json(random, parts[place])
    elif kind < 0.7:
        place = random.randrange(len(parts))
        parts[place] = hostile.mutated(random, parts[place], [p for m in V1 for p in m])
    elif kind < 0.85:
        random.shuffle(parts)
    else:
        parts = [p for p in parts if random.random() < 0.7] or [b""]
    return parts


def v1_stream(random: Random) -> str:
    parts = hostile_v1(random)
    views = [memoryview(p) for p in parts]
    reader = dectris_v1.PartsReader()
    apart = random.random() < 0.5
    items = [i for v in views for i in reader.read([v])] if apart else reader.read(views)
    outcome = "rejected: StreamError"
    for item in items:
        try:
            if isinstance(item, Start) and item.shape is not None:
                outcome = _announced(item)
            elif isinstance(item, Image):
                if bytes(item.data) not in INDEX_OF and _md5_was_sent(parts):
                    raise Broken("an image whose bytes are not those of its md5")
                outcome = _frame_of(item)
        except StreamError as error:
            outcome = rejected(error)
    return outcome


def _md5_was_sent(parts: Sequence[bytes]) -> bool:
    """Whether the opening part of the image is one of those sent, its md5 included."""
    return any(p in parts for m in V1 for p in m if b"dimage-1.0" in p)


def payloads(random: Random) -> str:
    encoding = random.choice(compression.ENCODINGS)
    index = random.randrange(len(PIXELS))
    frame = frame_of(index, encoding=encoding)
    data = hostile.mutated(random, bytes(frame.data), PAYLOADS[encoding])
    try:  # first without a checksum: an error or any pixels, never a crash
        found = compression.decode_bytes(data, SHAPE, "uint16", encoding)
        if (found.shape, found.dtype) != (SHAPE, np.uint16):
            raise Broken("pixels of another shape than asked for")
    except compression.ContainerError:
        pass
    try:
        pixels = compression.decode(dataclasses.replace(frame, data=data), verify=True)
    except compression.DecodeError as error:
        return rejected(error)
    if not np.array_equal(pixels, PIXELS[index]):
        raise Broken(f"wrong pixels with a checksum, {encoding}")
    return "same"


def description(random: Random) -> str:
    text = DESCRIPTION.to_json().encode()
    if random.random() < 0.6:
        text = hostile.mutated_json(random, text)
    else:
        text = hostile.mutated(random, text, [text])
    try:
        found = from_json(text.decode("utf-8", "replace"))
    except DescriptionError as error:
        return rejected(error)
    if found.frames() < 10_000:
        found.trajectory()
    again = from_json(found.to_json())
    if json.loads(again.to_json()) != json.loads(found.to_json()) and "NaN" not in found.to_json():
        raise Broken("a description that changes when it is written and read")
    return "accepted"


def experiment(random: Random) -> str:
    kind = random.random()
    if kind < 0.1:
        text = random.choice(list(hostile.YAML.values()))
    elif kind < 0.6:
        tree = hostile.mutated_tree(random, yaml.safe_load(EXPERIMENT))
        text = yaml.safe_dump(tree, allow_unicode=True)
    else:
        text = hostile.mutated(random, EXPERIMENT.encode(), []).decode("utf-8", "replace")
    try:
        parse(text, "f")
    except ExperimentError as error:
        return rejected(error)
    return "accepted"


_RUN_FILE: dict[str, bytes] = {}


def recorded_run() -> bytes:
    """A sound run file."""
    if "run" not in _RUN_FILE:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.nxs"
            with Recorder(path, experiment_text=EXPERIMENT) as recorder:
                for message in [*messages()[:1], *(frame_of(i) for i in range(4)), *messages()[3:]]:
                    recorder.take(message)
            _RUN_FILE["run"] = path.read_bytes()
    return _RUN_FILE["run"]


def run_file(random: Random) -> str:
    whole = recorded_run()
    data = hostile.mutated(random, whole, [whole])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.nxs"
        path.write_bytes(data)
        try:
            with open_run(path) as run:
                for start in run.scans():
                    for frame in run.frames(start.scan):
                        if _pixels(frame) == "rejected: DecodeError":
                            raise Broken("a frame that was handed out does not decode")
                    run.positions(start.scan)
                run.stops(), run.accounts(), run.results(), run.documents(), run.histories()
                run.experiment_text  # noqa: B018
        except RunFileError as error:
            return rejected(error)
    return "accepted"


# name -> what it does, and its share of the messages
TARGETS: dict[str, tuple[Callable[[Random], str], float]] = {
    "packing": (packing, 0.2),
    "operations": (wire_ops, 0.15),
    "cbor": (cbor, 0.13),
    "stream v2": (v2_stream, 0.15),
    "stream v1": (v1_stream, 0.15),
    "payloads": (payloads, 0.15),
    "description": (description, 0.06),
    "experiment file": (experiment, 0.005),
    "run file": (run_file, 0.005),
}
