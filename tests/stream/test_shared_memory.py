import fcntl
import os
import subprocess
import sys

import numpy as np
import pytest
from operando.stream.shared_memory import Arena, MappedArena, MappedArenas, NotShared
from operando.stream.wire_ops import Share


@pytest.fixture
def arena():
    arena = Arena(1 << 20)
    yield arena
    arena.close()


def test_what_is_lent_is_read_by_another_process(arena):
    payload = np.random.default_rng(1).bytes(300_000)
    place = arena.lend(payload)
    share = arena.share()
    code = (
        "import sys; from operando.stream.shared_memory import MappedArena\n"
        "from operando.stream.wire_ops import Share\n"
        f"arena = MappedArena(Share({share.token}, {share.pid}, {share.file}, {share.size}))\n"
        f"sys.stdout.buffer.write(arena.view({place}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == payload


def test_places_never_overlap_and_the_lowest_free_one_is_taken(arena):
    random = np.random.default_rng(2)
    mapped = MappedArena(arena.share())
    lent: dict[tuple[int, ...], bytes] = {}
    refused = 0
    for _ in range(2000):
        if lent and random.random() < 0.45:
            place = list(lent)[random.integers(len(lent))]
            assert mapped.view(place) == lent.pop(place)
            arena.free(place[3])
            assert not mapped.intact(place)
            continue
        payload = random.bytes(int(random.integers(0, 60_000)))
        place = arena.lend(payload)
        if place:
            lent[place] = payload
        else:
            refused += 1
    assert refused
    assert arena.lent == len(lent)
    for place, payload in lent.items():
        assert mapped.view(place) == payload
        assert mapped.intact(place)
        arena.free(place[3])
        arena.free(place[3])
    assert arena.lent == 0
    assert arena.lend(b"x" * ((1 << 20) - 128)), "all of it is one free place again"
    assert arena.lend(b"") == ()


def test_a_view_outlives_the_arena_and_its_owner(arena):
    place = arena.lend(b"still here" * 1000)
    mapped = MappedArena(arena.share())
    view = mapped.view(place)
    arena.close()
    del mapped
    assert bytes(view) == b"still here" * 1000


def test_nothing_but_a_sealed_arena_is_mapped(arena, tmp_path):
    share = arena.share()
    pid = os.getpid()
    plain = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    loose = os.memfd_create("operando", os.MFD_ALLOW_SEALING)
    foreign = os.memfd_create("somebody's")
    for file in (plain, loose, foreign):
        os.ftruncate(file, share.size)
    try:
        for wrong, why in (
            (Share(share.token, pid, plain, share.size), "no memory to share"),
            (Share(share.token, pid, foreign, share.size), "no memory to share"),
            (Share(share.token, pid, loose, share.size), "could change its size"),
            (Share(share.token, pid, share.file, share.size * 2), "bytes, said to be"),
            (Share(share.token + 1, pid, share.file, share.size), "is another one"),
            (Share(share.token, 2**62, share.file, share.size), "cannot be mapped"),
            (Share(share.token, pid, 2**62, share.size), "cannot be mapped"),
        ):
            with pytest.raises(NotShared, match=why):
                MappedArena(wrong)
    finally:
        for file in (plain, loose, foreign):
            os.close(file)
    with pytest.raises(OSError):
        os.ftruncate(share.file, 0)
    with pytest.raises(OSError):
        fcntl.fcntl(share.file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


@pytest.mark.parametrize(
    "change",
    [
        lambda t, o, n, s: (),
        lambda t, o, n, s: (t, o, n),
        lambda t, o, n, s: (t + 1, o, n, s),
        lambda t, o, n, s: (t, 0, n, s),
        lambda t, o, n, s: (t, o, 1 << 40, s),
        lambda t, o, n, s: (t, 1 << 62, n, s),
    ],
)
def test_a_place_that_cannot_be_is_refused(arena, change):
    mapped = MappedArena(arena.share())
    with pytest.raises(ValueError, match=r"place"):
        mapped.view(change(*arena.lend(b"payload")))


def test_an_arena_that_nobody_told_of_is_not_known(arena):
    arenas = MappedArenas()
    place = arena.lend(b"payload")
    with pytest.raises(NotShared, match="of no arena that is known"):
        arenas.of(place)
    arenas.learn(arena.share())
    assert arenas.of(place).view(place) == b"payload"
