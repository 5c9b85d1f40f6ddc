"""Rows as JSON, as a table and as a picture."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from operando.benchmarks import figure, table
from operando.benchmarks.machine import Machine, this_machine
from operando.benchmarks.rows import Row, from_json, to_json
from operando.benchmarks.sections import Section, read_answer, write_answer
from operando.benchmarks.store import Measured

MACHINE = Machine("A processor", 2, 24.0, "Linux", "3.11", 0.1)
GOOD = Row(
    "mean, a frame", "pyFAI", "2026.9", 1e-3, 2e-2, 20.0, 9.0, True, (9e-4, 2e-3), (0.019, 0.03),
    repetitions=5, difference="equal",
)  # fmt: skip
SLOW = Row("fit, a peak", "scipy", "1.17", 1e-5, 4e-4, 40.0, 80.0, True)
ABSENT = Row("decode, a frame", "elsewhere", goal=1.0, note="absent: not installed")
WRONG = Row("decode, a frame", "wrong", "1", goal=1.0, agrees=False, note="the results differ")
ROWS = [GOOD, SLOW, ABSENT, WRONG]


def page_of(*rows: Row) -> str:
    return table.markdown([Measured("some", "now", "python -m benchmarks", MACHINE, rows, [])])


def test_rows_have_the_promised_keys_and_come_back_the_same():
    plain = json.loads(json.dumps(to_json(ROWS)))
    promised = {"work", "peer", "peer_version", "ours_s", "peer_s", "ratio", "goal", "agrees"}
    assert all(promised <= set(entry) for entry in plain)
    assert plain[2]["ratio"] is None
    assert plain[3]["agrees"] is False
    back = from_json(plain)
    assert back[0] == GOOD
    assert math.isnan(back[2].ratio)
    assert back[2].agrees is None


def test_verdicts_say_met_missed_by_how_much_absent_or_wrong():
    assert [row.verdict() for row in ROWS] == ["met", "missed, 50% of it", "absent", "disagrees"]


def test_the_table_has_a_line_a_row_and_no_ratio_where_there_is_none():
    page = page_of(*ROWS)
    every = page.partition("## Every row")[2]
    lines = [line for line in every.splitlines() if line.startswith("| ")][1:]
    assert len(lines) == len(ROWS)
    assert "**20**" in lines[0]
    assert "1 ms (900 µs to 2 ms)" in lines[0]
    assert "**" not in lines[2]
    assert "**" not in lines[3]
    assert "not installed" in page
    assert "A processor, 2 cores" in page


def test_each_goal_is_held_against_the_nearest_peer():
    slower = dataclasses.replace(GOOD, peer="pyFAI, slower", ratio=50.0)
    page = page_of(slower, GOOD, ABSENT, WRONG)
    goals = page.partition("## Goals")[2].partition("## Every row")[0]
    lines = [line for line in goals.splitlines() if line.startswith("| ")][1:]
    assert len(lines) == 2
    assert "| pyFAI |" in lines[0]
    assert lines[0].endswith("| met |")
    assert lines[1].endswith("| absent |")


def test_a_busy_machine_is_said_to_be_one_and_the_ratio_by_processor_time_stands_beside():
    alone = dataclasses.replace(GOOD, ours_cpu_s=1e-3, peer_cpu_s=2e-2)
    held_up = dataclasses.replace(GOOD, ours_cpu_s=5e-4, peer_cpu_s=2e-2)
    assert "busy" not in page_of(alone)
    page = page_of(alone, held_up)
    assert "busy" in page
    assert "**20** (40)" in page


@pytest.mark.parametrize(
    ("value", "text"), [(2.5, "2.5 s"), (0.0213, "21.3 ms"), (4.5e-5, "45 µs"), (3e-8, "0.03 µs")]
)
def test_times_are_written_with_a_fitting_unit(value, text):
    assert table.seconds(value) == text


def test_a_picture_without_any_ratio_is_no_error(tmp_path):
    figure.draw([ABSENT], tmp_path / "empty.png", "nothing")
    assert (tmp_path / "empty.png").is_file()


def test_an_answer_comes_back_and_a_missing_one_is_empty(tmp_path):
    write_answer(tmp_path / "answer.json", [GOOD], [Section("a", "b")])
    rows, sections = read_answer(tmp_path / "answer.json")
    assert rows == [GOOD]
    assert sections == [Section("a", "b")]
    assert read_answer(tmp_path / "none.json") == ([], [])


def test_this_machine_has_a_name_and_cores():
    machine = this_machine()
    assert machine.processor
    assert machine.cores >= 1
    assert machine.memory_gb > 0
