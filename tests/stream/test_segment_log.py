"""The log against cut files, flipped bits, full disks and kill -9 of its writer."""

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from operando.stream.segment_log import (
    Damage,
    Damaged,
    LogFull,
    Record,
    SegmentLog,
    read_log,
    segments_of,
)


def parts_of(number):
    """Parts whose content is known from their number; some are empty, some hold whole records."""
    random = np.random.default_rng(number)
    return [random.bytes(int(random.integers(0, 200))) for _ in range(1 + number % 3)]


def write(folder, count, **settings):
    log = SegmentLog(folder, **{"sync_s": 0, **settings})
    places = {n: log.append(n, parts_of(n)) for n in range(1, count + 1)}
    log.close()
    return places


def read(folder):
    """Numbers of sound records, checked byte for byte, and damages."""
    sound, damages = [], []
    for found in read_log(folder):
        if isinstance(found, Damage):
            damages.append(found)
        else:
            assert isinstance(found, Record)
            assert [bytes(p) for p in found.parts] == parts_of(found.number)
            sound.append(found.number)
    return sound, damages


def test_what_was_appended_is_read_back_over_many_segments(tmp_path):
    write(tmp_path, 100, segment_bytes=2000)
    assert len(segments_of(tmp_path)) > 5
    assert read(tmp_path) == (list(range(1, 101)), [])


def test_a_segment_that_cannot_be_begun_leaves_neither_file_nor_descriptor(tmp_path, monkeypatch):
    log = SegmentLog(tmp_path, sync_s=0)
    before = len(os.listdir("/proc/self/fd"))

    def fails(file):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    for number in range(1, 21):
        with pytest.raises(OSError, match="Input/output"):
            log.append(number, [b"x"])
    assert len(os.listdir("/proc/self/fd")) == before
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    log.append(21, parts_of(21))
    log.close()
    assert read(tmp_path) == ([21], [])


def test_after_a_write_that_could_not_be_taken_back_the_log_goes_on_elsewhere(
    tmp_path, monkeypatch
):
    log = SegmentLog(tmp_path, sync_s=0)
    log.append(1, parts_of(1))
    whole = os.writev

    def half(file, buffers):
        monkeypatch.setattr(os, "writev", fails)
        return whole(file, [b"half of a record"[:8]])

    def fails(file, *_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "writev", half)
    monkeypatch.setattr(os, "ftruncate", fails)
    with pytest.raises(OSError, match="Input/output"):
        log.append(2, parts_of(2))
    monkeypatch.undo()
    place = log.append(3, parts_of(3))
    assert [bytes(p) for p in log.read(place)] == parts_of(3)
    log.close()
    sound, damages = read(tmp_path)
    assert sound == [1, 3]
    assert [damage.length for damage in damages] == [8]


def test_a_record_is_read_at_its_place_while_the_log_is_open(tmp_path):
    log = SegmentLog(tmp_path, segment_bytes=1000)
    places = {n: log.append(n, parts_of(n)) for n in range(1, 60)}
    for number in (59, 1, 30, 2, 58, 30):
        assert [bytes(p) for p in log.read(places[number])] == parts_of(number)
    log.close()


def test_cut_at_any_byte_all_whole_records_before_the_cut_are_there(tmp_path):
    places = write(tmp_path, 12)
    (segment,) = segments_of(tmp_path)
    whole = segment.path.read_bytes()
    ends = [p.offset + p.length for p in places.values()]
    for cut in range(len(whole)):
        segment.path.write_bytes(whole[:cut])
        sound, damages = read(tmp_path)
        assert sound == list(range(1, 1 + sum(end <= cut for end in ends))), cut
        assert bool(damages) == (cut not in (0, *ends)), cut
        assert all(d.torn for d in damages)


def test_every_flipped_bit_is_found_and_costs_one_record_only(tmp_path):
    write(tmp_path, 40)
    (segment,) = segments_of(tmp_path)
    whole = segment.path.read_bytes()
    random = np.random.default_rng(5)
    for _ in range(1000):
        flipped = bytearray(whole)
        place = int(random.integers(len(whole)))
        flipped[place] ^= 1 << int(random.integers(8))
        segment.path.write_bytes(flipped)
        sound, damages = read(tmp_path)
        assert len(sound) == 39
        assert len(damages) == 1
        assert damages[0].offset <= place < damages[0].offset + damages[0].length


def test_rot_in_the_middle_is_named_and_what_follows_is_kept(tmp_path):
    places = write(tmp_path, 30)
    (segment,) = segments_of(tmp_path)
    content = bytearray(segment.path.read_bytes())
    first, end = places[10].offset, places[12].offset
    content[first:end] = bytes(end - first)
    segment.path.write_bytes(content)
    sound, (damage,) = read(tmp_path)
    assert sound == [n for n in range(1, 31) if n not in (10, 11)]
    assert (damage.offset, damage.length, damage.torn) == (first, end - first, False)
    assert str(first) in str(damage)


def test_a_record_inside_the_payload_of_a_damaged_one_is_no_record(tmp_path):
    inner = tmp_path / "inner"
    write(inner, 3)
    log = SegmentLog(tmp_path / "outer", sync_s=0)
    place = log.append(1, [segments_of(inner)[0].path.read_bytes()])
    log.append(2, parts_of(2))
    log.close()
    (segment,) = segments_of(tmp_path / "outer")
    content = bytearray(segment.path.read_bytes())
    content[8] ^= 1
    segment.path.write_bytes(content)
    sound, (damage,) = read(tmp_path / "outer")
    assert sound == [2]
    assert damage.length == place.length


def test_a_log_opened_again_leaves_the_torn_file_alone_and_goes_on_in_a_new_one(tmp_path):
    write(tmp_path, 5)
    (segment,) = segments_of(tmp_path)
    torn = segment.path.read_bytes()[:-3]
    segment.path.write_bytes(torn)
    log = SegmentLog(tmp_path, sync_s=0)
    for number in range(6, 9):
        log.append(number, parts_of(number))
    log.close()
    assert segment.path.read_bytes() == torn
    sound, damages = read(tmp_path)
    assert sound == [1, 2, 3, 4, 6, 7, 8]
    assert [d.torn for d in damages] == [True]


def test_a_segment_that_was_let_go_is_gone_and_the_current_one_cannot_be(tmp_path):
    log = SegmentLog(tmp_path, segment_bytes=500, sync_s=0)
    places = [log.append(n, parts_of(n)) for n in range(1, 30)]
    before = log.bytes
    log.let_go(places[0].segment)
    assert log.bytes < before
    assert read(tmp_path)[0][0] > 1
    with pytest.raises(FileNotFoundError):
        log.read(places[0])
    with pytest.raises(ValueError, match="being written"):
        log.let_go(log.current)
    log.close()


def test_a_record_damaged_under_a_running_log_is_refused_when_read(tmp_path):
    log = SegmentLog(tmp_path, sync_s=0)
    place = log.append(1, [b"x" * 100])
    path = segments_of(tmp_path)[0].path
    content = bytearray(path.read_bytes())
    content[-1] ^= 4
    path.write_bytes(content)
    with pytest.raises(Damaged, match="at 0"):
        log.read(place)
    log.close()


def test_numbers_must_ascend(tmp_path):
    log = SegmentLog(tmp_path, sync_s=0)
    log.append(5, [b""])
    with pytest.raises(ValueError, match="record 5"):
        log.append(5, [b""])
    log.close()


def test_synced_catches_up_with_what_was_written(tmp_path):
    log = SegmentLog(tmp_path, segment_bytes=500, sync_s=0)
    for number in range(1, 20):
        log.append(number, parts_of(number))
    assert log.synced == 0
    log.sync()
    assert log.synced == 19
    log.close()


def test_a_full_disk_is_an_error_with_a_name_and_leaves_no_half_record(tmp_path):
    """The file size limit of a process stands for a full disk: the same partial write."""
    code = """
import resource, signal, sys
from pathlib import Path
from operando.stream import segment_log
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
log = segment_log.SegmentLog(Path(sys.argv[1]), sync_s=0)
try:
    for number in range(1, 100):
        log.append(number, [bytes([number]) * 700])
except segment_log.LogFull:
    print(number)
log.append(number, [b"small"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
    )
    full = int(done.stdout)
    found = list(read_log(tmp_path))
    assert [r.number for r in found] == list(range(1, full + 1))
    assert bytes(found[-1].parts[0]) == b"small"
    assert issubclass(LogFull, OSError)


def test_kill_9_of_the_writer_loses_nothing_that_append_had_returned_for(tmp_path):
    code = """
import sys
from pathlib import Path
import numpy as np
from operando.stream.segment_log import SegmentLog
log = SegmentLog(Path(sys.argv[1]), segment_bytes=200_000)
number = 0
while True:
    number += 1
    log.append(number, [bytes([number % 251]) * (1 + number * 7919 % 50_000), b"end"])
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
"""
    random = np.random.default_rng(11)
    for kill in range(12):
        folder = tmp_path / str(kill)
        process = subprocess.Popen(
            [sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True
        )
        told = 0
        for _ in range(int(random.integers(5, 200))):
            told = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        told = max([told, *(int(line) for line in process.stdout if line.endswith("\n"))])
        process.stdout.close()
        process.wait()
        numbers = []
        for found in read_log(folder):
            if isinstance(found, Damage):
                assert found.torn
                continue
            size = 1 + found.number * 7919 % 50_000
            assert bytes(found.parts[0]) == bytes([found.number % 251]) * size
            numbers.append(found.number)
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= told
