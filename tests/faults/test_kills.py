"""kill -9 of every part of a run, by seed: nothing unaccounted, results bit for bit the same."""

from __future__ import annotations

import random

import numpy as np
import pytest
from fault_lab import FRAMES, Lab, frame, scan_start, take_scan
from operando.cli.recover import RecoverError, recover_run
from operando.stream.members import Producer
from operando.stream.messages import Document
from operando.stream.run_file import open_run
from operando.stream.segment_log import segments_of

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]
VICTIMS = ("hub", "recorder", "absorber", "reducer-0", "reducer-1")


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path / "r")
    yield made
    made.end()


def kills(seed: int, count: int) -> dict[int, str]:
    """Frame before which a part is killed -> which."""
    chosen = random.Random(seed)
    places = chosen.sample(range(1, FRAMES), count)
    return {place: chosen.choice(VICTIMS) for place in places}


def answers(run, scan):
    return {r.name: (r.values, r.uncertainty, r.completeness) for r in run.results(scan) if r.final}


def the_same(one, other):
    assert one.keys() == other.keys() != set()
    for name, (values, uncertainty, completeness) in one.items():
        assert completeness == other[name][2] == 1.0, name
        assert values.dtype == other[name][0].dtype
        assert values.tobytes() == other[name][0].tobytes(), name
        assert (uncertainty is None) == (other[name][1] is None)


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_in_mid_scan_lose_nothing_and_change_nothing(lab, seed):
    disturbed = [f"disturbed-{n}" for n in range(4)]
    lab.until_ready()
    with Producer(lab.items, "source", window=8) as producer:
        take_scan(lab, producer, "undisturbed", 1)
        lab.until_settled(["undisturbed"])
        for number, scan in enumerate(disturbed):
            schedule = kills(seed * 100 + number, 3)

            def strike(index, schedule=schedule):
                if index in schedule:
                    lab.kill(schedule[index])

            take_scan(lab, producer, scan, number + 2, strike)
            lab.kill(VICTIMS[number])  # and while the last frames are on their way
        lab.until_settled(["undisturbed", *disturbed])
        assert producer.refused == 0
    for scan in disturbed:
        account = lab.accounts[scan]
        assert (account.announced, account.received, account.duplicates) == (FRAMES, FRAMES, 0)
        assert account.lost == {}
        assert [(g.name, g.done, g.failed) for g in account.groups] == [
            ("record", FRAMES, {}),
            ("process", FRAMES, {}),
        ]
    lab.end()
    with open_run(lab.folder.file) as run:
        wanted = answers(run, "undisturbed")
        for scan in disturbed:
            the_same(answers(run, scan), wanted)
            data = [bytes(f.data) for f in run.frames(scan)]
            assert data == [frame(scan, index).data for index in range(FRAMES)]
        assert [a.closed for a in run.accounts()] == [True] * 5


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
