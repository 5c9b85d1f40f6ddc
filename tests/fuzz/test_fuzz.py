"""Hostile bytes: every named case at every door, and some ten thousand mutations by seed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import hostile_bytes as hostile
import pytest
from fuzz_targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st
from operando.cli.experiment_file import ExperimentError, parse
from operando.stream import dectris_v2
from operando.stream.bounded_cbor import CborError, read_map
from operando.stream.compression import ENCODINGS, ContainerError, decode_bytes
from operando.stream.dectris_series import StreamError
from operando.stream.dectris_v1 import PartsReader
from operando.stream.description import DescriptionError, from_json
from operando.stream.packing import PackingError, unpack
from operando.stream.run_file import RunFileError, open_run
from operando.stream.wire_ops import WireError, unpack_op

RUN = Path(__file__).with_name("run.py")
MESSAGES, SEED = 24_000, 1


def test_twenty_thousand_mutations_are_accepted_and_equal_or_rejected_by_type():
    # In a process of its own: a decoder that dies takes nobody with it. Fails with the case's seed
    done = subprocess.run(
        [sys.executable, str(RUN), *f"--messages {MESSAGES} --seed {SEED} --chunk 0".split()],
        capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    sent = sum(
        outcomes["sent"] if "sent" in outcomes else sum(outcomes.values())
        for outcomes in found.values()
    )
    assert sent >= 20_000
    for name, outcomes in found.items():  # what never rejects, or never accepts, tests nothing
        assert name == "live hub" or any(k.startswith("rejected") for k in outcomes), name
        assert any(outcomes.get(k) for k in ("accepted", "same", "sent")), name


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_every_decoder_accepts_and_keeps_or_rejects_by_type(name):
    """The same property, searched and shrunk by hypothesis."""
    target, share = TARGETS[name]

    @settings(max_examples=max(15, round(600 * share)), deadline=None, derandomize=True)
    @given(st.randoms(use_true_random=False))
    def holds(random: Random) -> None:
        outcome = target(random)
        assert outcome in ("accepted", "same") or outcome.startswith("rejected: ")

    holds()


def containers(data: bytes) -> None:
    for encoding in ENCODINGS:
        with pytest.raises(ContainerError):
            decode_bytes(data, (24, 40), "uint16", encoding)


def v1(data: bytes) -> None:
    items = PartsReader().read([memoryview(data)])
    assert all(isinstance(item, StreamError) for item in items)
    raise StreamError("", "")  # it says so in its items, and raises nothing


DOORS: dict[str, tuple[Callable[[bytes], object], type[Exception]]] = {
    "packing": (lambda data: unpack([data]), PackingError),
    "operations": (unpack_op, WireError),
    "cbor": (lambda data: read_map(memoryview(data)), CborError),
    "stream v2": (lambda data: dectris_v2.parse(memoryview(data)), StreamError),
    "stream v1": (v1, StreamError),
    "description": (lambda data: from_json(data.decode("latin-1")), DescriptionError),
}
BYTES = {
    **{f"port scanner, {k}": v for k, v in hostile.PORT_SCANNERS.items()},
    **{f"msgpack, {k}": v for k, v in hostile.MSGPACK.items()},
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", BYTES)
def test_what_is_no_message_at_all_is_refused_at_every_door(door, case):
    read, error = DOORS[door]
    with pytest.raises(error):
        read(BYTES[case])
    containers(BYTES[case])


@pytest.mark.parametrize("case", hostile.CBOR)
def test_hostile_cbor_is_refused_by_type_at_every_door(case):
    for door in ("packing", "operations", "stream v2", "description"):
        read, error = DOORS[door]
        with pytest.raises(error):
            read(hostile.CBOR[case])
    containers(hostile.CBOR[case])


@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
@pytest.mark.parametrize("case", hostile.PARTS)
def test_hostile_v1_parts_give_errors_and_no_images(case, apart):
    parts = [memoryview(part) for part in hostile.PARTS[case]]
    reader = PartsReader()
    items = [i for p in parts for i in reader.read([p])] if apart else reader.read(parts)
    kinds = {type(item).__name__ for item in items}
    assert kinds <= {"StreamError", "ImageError", "Start"}
    assert all(item.shape is None for item in items if type(item).__name__ == "Start")


@pytest.mark.parametrize("case", hostile.YAML)
def test_hostile_experiment_files_are_refused_in_lines(case):
    with pytest.raises(ExperimentError) as caught:
        parse(hostile.YAML[case], "f")
    assert all(line.startswith("f: ") for line in str(caught.value).splitlines())


@pytest.mark.parametrize("case", BYTES)
def test_what_is_no_run_file_is_refused_in_one_line(case, tmp_path):
    path = tmp_path / "run.nxs"
    path.write_bytes(BYTES[case])
    with pytest.raises(RunFileError) as caught:
        open_run(path)
    assert "\n" not in str(caught.value)
