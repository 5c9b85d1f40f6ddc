"""Compressed frame to pixels, and from there to the trimmed pattern."""

from __future__ import annotations

import struct
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from operando.stream import compression

from . import data, ours
from .bench_reduction import FRAMES, TRIM, trimmed_truth, within_borders
from .harness import Absent, Agreement, Comparison, Contender
from .machine import version_of
from .peers_pyfai import MEDIAN_ENGINES, Pyfai
from .peers_pyfai import version as pyfai_version

_PREFIX = struct.Struct(">QI")


def decode(quick: bool) -> Iterator[Comparison]:
    """bslz4 to pixels at three levels of counts."""
    camera = data.Camera(data.PILATUS_2M)
    shape = camera.detector.shape()
    for counts in (0.1, 9.0, 400.0):
        frames = camera.frames(counts, FRAMES)
        payloads = [compression.encode(frame, "bslz4") for frame in frames]
        size = np.mean([len(p) for p in payloads]) / 1e6
        yield Comparison(
            work=f"decode bslz4 Pilatus 2M uint32, {counts:g} counts a pixel, a frame",
            ours=_over(ours.decoder(shape, "uint32"), "operando", ours.version(), payloads),
            peers=_peers(payloads, shape, goal=1.0),
            agree=_equal_to(frames[0]),
            rounds=5 if quick else 25,
            note=f"{size:.2f} MB compressed; ours checks every length",
        )


def decode_and_trim(quick: bool) -> Iterator[Comparison]:
    """bslz4 to the exact trimmed pattern."""
    camera = data.Camera(data.PILATUS_2M)
    shape = camera.detector.shape()
    powder, pyfai = ours.Powder.of(camera), Pyfai(camera)
    engine = MEDIAN_ENGINES[0]
    theirs = pyfai.trimmed(engine, 50 * TRIM, 100 - 50 * TRIM)
    for counts in (0.1, 9.0):
        frames = camera.frames(counts, FRAMES)
        payloads = [compression.encode(frame, "bslz4") for frame in frames]
        fastest = _fastest(_peers(payloads, shape), frames[0])
        peer: Contender | Absent = Absent(engine.name(), "no library decoder here", 10.0)
        if fastest is not None:
            peer = Contender(
                f"{engine.name()} + {fastest.name}",
                f"{pyfai_version()}, {fastest.version}",
                _chained(fastest.run, theirs),
                goal=10.0,
            )
        yield Comparison(
            work=f"bslz4 frame to exact trimmed pattern, {counts:g} counts a pixel, a frame",
            ours=_over(powder.compressed_trimmed(TRIM), "operando", ours.version(), payloads),
            peers=[peer],
            agree=within_borders(trimmed_truth(powder, camera, frames[0])),
            rounds=3 if quick else 11,
        )


def _chained(first: Callable[[int], Any], second: Callable[[Any], Any]) -> Callable[[int], Any]:
    return lambda n: second(first(n))


def _over(run: Callable[[Any], Any], name: str, version: str, payloads: list[bytes]) -> Contender:
    return Contender(name, version, lambda n: run(payloads[n % len(payloads)]))


def _peers(
    payloads: list[bytes], shape: tuple[int, int], goal: float = float("nan")
) -> list[Contender | Absent]:
    makers = {
        "bitshuffle": _bitshuffle,
        "hdf5plugin": _hdf5plugin,
        "dectris-compression": _dectris_compression,
    }
    peers: list[Contender | Absent] = []
    for name, make in makers.items():
        try:
            run = make(payloads, shape)
        except ImportError:
            peers.append(Absent(name, "not installed", goal))
            continue
        peers.append(Contender(name, version_of(name), run, goal=goal))
    return peers


def _fastest(peers: list[Contender | Absent], pixels: Any) -> Contender | None:
    """The quickest of those that are here and decode input 0 to pixels, the best of five calls."""

    def best_s(peer: Contender) -> float:
        times = []
        for n in range(5):
            began = time.perf_counter()
            peer.run(n)
            times.append(time.perf_counter() - began)
        return min(times)

    here = [p for p in peers if isinstance(p, Contender) and _decodes(p, pixels)]
    return min(here, key=best_s) if here else None


def _decodes(peer: Contender, pixels: Any) -> bool:
    """Whether a peer runs here and is right; decode() says what is wrong with it."""
    try:
        return np.array_equal(peer.run(0), pixels)
    except Exception:  # anything that other people's code may raise
        return False


def _bitshuffle(payloads: list[bytes], shape: tuple[int, int]) -> Callable[[int], Any]:
    import bitshuffle

    kind = np.dtype("uint32")

    def run(n: int) -> Any:
        payload = payloads[n % len(payloads)]
        block = _PREFIX.unpack_from(payload)[1] // kind.itemsize
        packed = np.frombuffer(payload, np.uint8)[_PREFIX.size :]
        return bitshuffle.decompress_lz4(packed, shape, kind, block)

    return run


def _hdf5plugin(payloads: list[bytes], shape: tuple[int, int]) -> Callable[[int], Any]:
    import h5py
    import hdf5plugin

    file = h5py.File(f"{uuid.uuid4()}.h5", "w", driver="core", backing_store=False)
    dataset = file.create_dataset(
        "frames",
        (len(payloads), *shape),
        "uint32",
        chunks=(1, *shape),
        **hdf5plugin.Bitshuffle(cname="lz4"),
    )
    for n, payload in enumerate(payloads):
        dataset.id.write_direct_chunk((n, 0, 0), payload)
    out = np.empty(shape, np.uint32)

    def run(n: int) -> Any:
        dataset.read_direct(out, np.s_[n % len(payloads)])
        return out

    return run


def _dectris_compression(payloads: list[bytes], shape: tuple[int, int]) -> Callable[[int], Any]:
    from dectris.compression import decompress

    def run(n: int) -> Any:
        raw = decompress(payloads[n % len(payloads)], "bslz4", elem_size=4)
        return np.frombuffer(raw, np.uint32).reshape(shape)

    return run


def _equal_to(pixels: Any) -> Callable[[Any, Any], Agreement]:
    def agree(mine: Any, theirs: Any) -> Agreement:
        same = np.array_equal(mine, pixels) and np.array_equal(theirs, pixels)
        return Agreement(same, "equal" if same else "pixels differ")

    return agree
