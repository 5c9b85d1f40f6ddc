"""kill -9 of every part of a run, by seed: nothing unaccounted, results bit for bit the same."""

from __future__ import annotations

import random

import numpy as np
import pytest
from fault_lab import FRAMES, VICTIMS, Lab, frame, scan_start, storm, take_scan
from operando.cli.recover import RecoverError, recover_run
from operando.stream.members import Producer
from operando.stream.messages import Document
from operando.stream.run_file import open_run
from operando.stream.segment_log import segments_of

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(590)]


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path / "r")
    yield made
    made.end()


def test_a_hundred_kills_in_mid_scan_lose_nothing_and_change_nothing(lab):
    lab.until_ready()
    with Producer(lab.items, "source", window=8) as producer:
        found = storm(lab, producer, 100, seed=1)
        assert producer.refused == 0
    assert found.problems == []
    assert sum(found.kills.values()) == 100
    assert set(found.kills) == set(VICTIMS)
    assert (found.frames, found.lost) == (len(found.scans) * FRAMES, 0)
    assert found.same == found.results > 0


def test_after_kill_9_of_everything_recover_finds_every_frame_that_was_acknowledged(lab, tmp_path):
    lab.until_ready()
    with Producer(lab.items, "source", window=8) as producer:
        producer.put(Document("r", "start", '{"uid": "r"}'))
        take_scan(lab, producer, "whole", 1)
        lab.until_settled(["whole"])
        producer.put(scan_start("cut", 2))
        lab.kill("recorder")
        lab.part("recorder").restart = False
        for index in range(40):
            producer.put(frame("cut", index))
        producer.flush()
        lab.kill_all()
        producer.close()
    before = sorted((p, p.stat().st_size) for p in lab.folder.path.rglob("*") if p.is_file())
    said: list[str] = []
    new = tmp_path / "new.nxs"
    assert not recover_run(lab.folder.path, new, said.append)
    after = sorted((p, p.stat().st_size) for p in lab.folder.path.rglob("*") if p.is_file())
    assert before == after  # nothing that was there is changed
    with open_run(new) as run:
        assert [len(run.frame_indices(s.scan)) for s in run.scans()] == [FRAMES, 40]
        for start in run.scans():
            for found in run.frames(start.scan):
                assert bytes(found.data) == frame(start.scan, found.index).data
        assert run.damaged == {}
        whole, cut = run.accounts()
        assert whole.closed
        assert (whole.group("process").done, whole.lost) == (FRAMES, {})
        assert list(cut.lost) == list(range(40, FRAMES))
        assert "killed" in cut.lost[40]
        assert len([d for d in run.documents() if d.name == "start"]) == 1
        assert {r.name for r in run.results("whole")} >= {"total_counts"}
        counts = next(r for r in run.results("whole") if r.name == "total_counts")
        assert np.isfinite(counts.values).all()
    assert any("announced 64 = recorded 40 + lost 24" in line for line in said)
    with pytest.raises(RecoverError, match="exists"):
        recover_run(lab.folder.path, new, said.append)


@pytest.mark.parametrize("seed", range(6))
def test_kill_9_of_everything_at_any_moment_loses_nothing_that_was_acknowledged(tmp_path, seed):
    chosen = random.Random(seed)
    last, window = chosen.randrange(1, FRAMES), chosen.choice((1, 2, 8))
    lab = Lab(tmp_path / "r", record=seed % 2 == 0, analysis=False)  # else the spool has to do
    try:
        lab.until_ready()
        with Producer(lab.items, "source", window=window) as producer:
            producer.put(scan_start("cut", 1))
            producer.flush()  # a scan whose start was not acknowledged is announced nowhere
            for index in range(last + 1):
                producer.put(frame("cut", index))
            # put() returned with at most a window of messages unanswered, and answers are in order
            acknowledged = set(range(last + 1 - window))
            lab.kill_all()
            producer.close()
    finally:
        lab.end()
    said: list[str] = []
    assert not recover_run(lab.folder.path, tmp_path / "new.nxs", said.append)
    with open_run(tmp_path / "new.nxs") as run:
        found = {each.index: bytes(each.data) for each in run.frames("cut")}
        (account,) = run.accounts()
        assert run.damaged == {}
    assert acknowledged <= set(found) <= set(range(last + 1)), said
    assert all(content == frame("cut", index).data for index, content in found.items())
    assert set(account.lost) == set(range(FRAMES)) - set(found)
    assert all("killed" in reason for reason in account.lost.values())
    assert not [line for line in said if "trouble" in line and "torn" not in line]


def test_recover_names_what_has_rotted_and_keeps_the_rest(lab, tmp_path):
    lab.until_ready()
    with Producer(lab.items, "source", window=8) as producer:
        producer.put(scan_start("cut", 1))
        for index in range(30):
            producer.put(frame("cut", index))
        producer.flush()
        lab.kill_all()
        producer.close()
    (lab.folder.path / "run.nxs.part").unlink()
    segment = segments_of(lab.folder.spool / "frames")[0].path
    content = bytearray(segment.read_bytes())
    content[content.find(frame("cut", 7).data) + 100] ^= 64
    segment.write_bytes(content[:-50])
    said: list[str] = []
    assert not recover_run(lab.folder.path, tmp_path / "new.nxs", said.append)
    with open_run(tmp_path / "new.nxs") as run:
        assert run.frame_indices("cut") == [n for n in range(29) if n != 7]
    assert sum("trouble" in line and "damaged" in line for line in said) == 1
    assert sum("trouble" in line and "torn" in line for line in said) == 1
