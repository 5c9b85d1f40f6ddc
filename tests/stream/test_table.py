"""Tables that grow in a file that a kill may leave at any moment: what is read was written."""

from __future__ import annotations

import subprocess
import sys

import h5py
import numpy as np
import pytest
from operando.stream.run_file import open_run
from operando.stream.table import (
    PLACES,
    new_column,
    new_text_column,
    read_texts,
    rows_of,
    write_rows,
    write_texts,
)

TEXTS = ["one", "", "zwölf Å", "x" * 40_000]


@pytest.fixture
def group():
    with h5py.File("table", "w", driver="core", backing_store=False) as file:
        made = file.create_group("table")
        new_column(made, "number", np.float64, "V")
        new_text_column(made, "text")
        write_rows(made["number"], 0, np.arange(4.0))
        write_texts(made, "text", 0, TEXTS)
        yield made


def test_what_was_written_is_read(group):
    write_rows(group["number"], 4, np.array([4.0]))
    write_texts(group, "text", 4, ["five"])
    assert rows_of(group, ("number", "text")) == 5
    assert read_texts(group, "text", 5) == [*TEXTS, "five"]
    assert group["number"][()].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert group["number"].attrs["units"] == "V"


def test_rows_that_a_kill_left_in_one_column_only_are_cut_off_and_the_next_are_aligned(group):
    write_rows(group["number"], 4, np.array([99.0, 98.0]))  # and then it was killed
    have = rows_of(group, ("number", "text"))
    assert have == 4
    write_rows(group["number"], have, np.array([4.0]))
    write_texts(group, "text", have, ["five"])
    assert group["number"][()].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert read_texts(group, "text", 5)[-1] == "five"


def test_a_row_whose_bytes_did_not_reach_the_file_is_an_empty_text(group):
    group["text" + PLACES].resize(6, axis=0)  # two rows of zeros
    group["text" + PLACES][5] = [10, 1 << 40]
    assert read_texts(group, "text", 6) == [*TEXTS, "", ""]
    write_texts(group, "text", 6, ["goes on"])
    assert read_texts(group, "text", 7)[6] == "goes on"


WRITER = """
import itertools, sys
from pathlib import Path
import numpy as np
from operando.stream.messages import Document, Samples
from operando.stream.recorder import Recorder
recorder, first = Recorder(Path(sys.argv[1])), float(sys.argv[2])
one = np.ones(1)
for n in itertools.count():
    time_s = one * (first + n)
    state = ("RUNNING", "IDLE", "HOLD_OCV")[n % 3]
    recorder.take(Samples("r", time_s, time_s, one, one, one, one, (state,)))
    recorder.take(Document("r", "event", f'{{"n": {first + n}, "x": "{"x" * (n % 300)}"}}'))
    if n % 2:
        recorder.flush()
        print(int(first + n), flush=True)
"""


def test_history_and_documents_outlive_kills_of_a_busy_recorder(tmp_path):
    random = np.random.default_rng(3)
    flushed: set[int] = set()
    for first in range(0, 6_000_000, 1_000_000):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path / "run.nxs", str(first)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        for _ in range(int(random.integers(1, 30))):
            told = int(process.stdout.readline())
        process.kill()
        told = max([told, *(int(line) for line in process.stdout if line.endswith("\n"))])
        process.stdout.close()
        process.wait()
        flushed |= set(range(first, told + 1))
    with open_run(tmp_path / "run.nxs.part") as run:
        history = run.samples("r")
        documents = run.documents()
    assert flushed <= {int(t) for t in history.time_s}
    assert {"RUNNING", "IDLE", "HOLD_OCV"} >= set(history.states)
    assert flushed <= {int(float(d.text.split()[1].rstrip(","))) for d in documents}
