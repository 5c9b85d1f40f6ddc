"""Parts that run and are silent are killed, and only those."""

from __future__ import annotations

import pytest
from operando.cli.silence import Silence
from operando.stream.messages import Status
from parts_asleep import Sleeping


def report(*members):
    return Status("hub", "open", 0.0, {"members": ", ".join(sorted(members))})


@pytest.fixture
def parts(tmp_path):
    made = Sleeping(tmp_path, {})
    for name in ("absorber", "reducer-0", "reducer-1", "recorder"):
        made.start(name, restart=True)
    yield made
    made.stop_all()


EVERYBODY = ("process/absorber", "process/reducer-0", "process/reducer-1", "record/recorder")


def test_a_part_that_is_silent_is_killed_and_started_again(parts):
    silence = Silence(limit_s=0.0)
    part = parts.part("reducer-0")
    first = part.process
    assert silence.end_silent(parts, report(*EVERYBODY)) == []
    without = [m for m in EVERYBODY if m != "process/reducer-0"]
    assert silence.end_silent(parts, report(*without)) == []  # silent from here
    assert silence.end_silent(parts, report(*without)) == [
        "reducer-0 has been silent for 0 s and is killed"
    ]
    assert first.wait(20) != 0
    assert parts.look_after() == ["reducer-0 ended (killed by SIGKILL) and is started again"]
    # the new one has time to start, however long that takes
    for _ in range(3):
        assert silence.end_silent(parts, report(*without)) == []
    assert part.alive()
    silence.end_silent(parts, report(*EVERYBODY))
    silence.end_silent(parts, report(*without))
    assert silence.end_silent(parts, report(*without)) != []  # once it had joined, all is as before


def test_who_comes_back_in_time_never_joined_or_records_is_left_alone(parts):
    silence = Silence(limit_s=0.0)
    some = ("process/reducer-1", "record/recorder")
    for members in (some, some, EVERYBODY, EVERYBODY):  # two of them start late
        assert silence.end_silent(parts, report(*members)) == []
    patient = Silence(limit_s=1e6)
    for members in (EVERYBODY, some, some):
        assert patient.end_silent(parts, report(*members)) == []
    for _ in range(3):
        assert silence.end_silent(parts, report(*EVERYBODY[:3])) == []  # all but the recorder


def test_one_report_counts_once_and_a_hub_that_says_nothing_accuses_nobody(parts, monkeypatch):
    silence = Silence(limit_s=0.0)
    silence.end_silent(parts, report(*EVERYBODY))
    nobody = report()
    assert silence.end_silent(parts, nobody) == []
    for _ in range(3):
        assert silence.end_silent(parts, nobody) == []
        assert silence.end_silent(parts, None) == []
    monkeypatch.setattr("operando.cli.silence.GAP_S", -1.0)  # it was started again meanwhile
    assert silence.end_silent(parts, report()) == []


def test_a_part_that_died_and_starts_slowly_is_not_killed(parts):
    silence = Silence(limit_s=0.0)
    silence.end_silent(parts, report(*EVERYBODY))
    others = report(*EVERYBODY[1:])
    silence.end_silent(parts, others)
    part = parts.part("absorber")
    part.process.kill()
    part.process.wait()
    assert len(parts.look_after()) == 1
    for _ in range(3):
        assert silence.end_silent(parts, report(*EVERYBODY[1:])) == []
