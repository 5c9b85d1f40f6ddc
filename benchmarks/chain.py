"""The whole chain on this machine: the rate that it holds, and where the time goes."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import data, ours
from .chain_frames import TRANSLATIONS, Line, line
from .chain_run import SETTLE_S, Outcome, Setting, run_chain
from .machine import this_machine
from .rows import NAN, Row
from .sections import Section

PAPER_HZ = 100.0
LAG_S = 1.0
WORK = "whole chain, Pilatus 2M bslz4 stream to maps of 351 x 351, 2 reducers, a frame"


def chain(quick: bool) -> Iterator[Row | Section]:
    """Compressed Pilatus 2M stream to maps: the rate held, where the time goes, scaling."""
    frames = line(data.PILATUS_2M, _say)
    fast = _run(Setting(0.0, 2 if quick else 6), frames)
    yield _free_row(fast, frames)
    if not fast.complete:
        return
    seconds = 10.0 if quick else 60.0
    held, tried = _highest(fast.frames_per_s(), frames, seconds / 3, seconds)
    yield _held_row(held, tried, seconds)
    yield _where_section(held or fast, frames)
    yield _tried_section(tried)
    scaling = [fast]
    settings = [dataclasses.replace(fast.setting, reducers=1, projections=2 if quick else 3)]
    if not quick:
        settings += [
            Setting(0.0, 4, detector=data.PILATUS_1M),
            Setting(0.0, 8, detector=data.PILATUS_300K_W),
            Setting(0.0, 3, channels=720, q_range=(1.1, 4.7)),
        ]
    for setting in settings:
        other = frames if setting.detector == frames.detector else line(setting.detector, _say)
        scaling.append(_run(setting, other))
    yield _scaling_section(scaling)


def _run(setting: Setting, frames: Line) -> Outcome:
    outcome = run_chain(setting, frames.poni)
    _say(f"chain: {_in_words(outcome)}")
    return outcome


def _paced(rate: float, seconds: float) -> Setting:
    return Setting(rate, max(2, math.ceil(rate * seconds / TRANSLATIONS)))


def _rates(free: float) -> list[float]:
    """Rates to try, from somewhat below the free one down; the paper's is one of them."""
    rates = [share * free for share in (0.92, 0.85, 0.75, 0.65, 0.5, 0.35, 0.2)]
    if rates[-1] < PAPER_HZ < 0.97 * free:
        rates.append(PAPER_HZ)
    return sorted(rates, reverse=True)


def _highest(
    free: float, frames: Line, first_s: float, confirmed_s: float
) -> tuple[Outcome | None, list[Outcome]]:
    """The highest rate held, first for a short time, then for a long one."""
    tried: list[Outcome] = []
    for rate in _rates(free):
        for seconds in (first_s, confirmed_s):
            tried.append(_run(_paced(rate, seconds), frames))
            if not tried[-1].sustained(LAG_S):
                break
        else:
            return tried[-1], tried
    return None, tried


def _free_row(fast: Outcome, frames: Line) -> Row:
    whole = fast.complete and fast.lost == fast.failed == 0
    return Row(
        "whole chain, as fast as it takes the frames, 2 reducers, a frame",
        "the paper's detector at 100 Hz",
        ours_s=1 / fast.frames_per_s() if whole else NAN,
        peer_s=1 / PAPER_HZ,
        ratio=fast.frames_per_s() / PAPER_HZ if whole else NAN,
        agrees=whole,
        repetitions=1,
        threads=this_machine().cores,
        difference=f"{fast.setting.frames()} frames, lost {fast.lost}, failed {fast.failed}",
        note=fast.trouble
        or f"{frames.mean_bytes() / 1e6:.2f} MB a frame; {fast.frames_per_s():.1f} Hz",
    )


def _held_row(held: Outcome | None, tried: list[Outcome], seconds: float) -> Row:
    peer = "the paper's detector at 100 Hz"
    if held is None:
        slowest = tried[-1]
        note = (
            f"not held: at {slowest.setting.rate:.0f} Hz the oldest frame waits "
            f"{slowest.lag_s:.1f} s; {slowest.lost} lost, {slowest.failed} failed"
        )
        return Row(WORK, peer, peer_s=1 / PAPER_HZ, goal=1.0, note=note)
    return Row(
        WORK,
        peer,
        ours_s=1 / held.setting.rate,
        peer_s=1 / PAPER_HZ,
        ratio=held.setting.rate / PAPER_HZ,
        goal=1.0,
        agrees=True,
        repetitions=1,
        threads=this_machine().cores,
        difference=f"{held.setting.frames()} frames, 0 lost, oldest frame {held.lag_s:.2f} s, "
        f"at the start {held.start_lag_s:.2f} s",
        note=f"held {held.setting.rate:.1f} Hz for {seconds:.0f} s",
    )


def _in_words(outcome: Outcome) -> str:
    setting = outcome.setting
    pace = f"{setting.rate:.1f} Hz" if setting.rate else "as fast as taken"
    return (
        f"{setting.detector.name}, {setting.channels} channels, {setting.reducers} reducers, "
        f"{pace}: "
        f"{outcome.frames_per_s():.1f} frames/s, lag {outcome.lag_s:.2f} s "
        f"({outcome.start_lag_s:.2f} s at the start), lost {outcome.lost}, "
        f"failed {outcome.failed}, {outcome.maps} live maps, {outcome.longest_wait_s:.1f} s apart "
        f"at most, final after {outcome.final_s:.1f} s"
    )


def _where_section(outcome: Outcome, frames: Line) -> Section:
    """Processor time of every process and step, a frame."""
    count = outcome.setting.frames()
    steps = _steps_ms(frames, outcome.setting)
    per_frame = {name: 1e3 * s / count for name, s in outcome.cpu_s.items()}
    reducers = sum(ms for name, ms in per_frame.items() if name.startswith("reducer"))
    absorbed = 1e3 * outcome.steps_s.get("absorb_s", NAN) / count
    fitted = 1e3 * outcome.steps_s.get("results_s", NAN) / count
    cores = this_machine().cores
    room = 1e3 * cores / sum(per_frame.values())
    lines = [
        f"At {_in_words(outcome)}. At this cost {cores} idle cores have time for "
        f"{room:.0f} frames/s, the replaying detector included.",
        "",
        "| process | processor ms a frame | peak memory MB |",
        "|---|---|---|",
        *(
            f"| {name} | {ms:.2f} | {outcome.memory_mb.get(name, NAN):.0f} |"
            for name, ms in per_frame.items()
        ),
        f"| all | {sum(per_frame.values()):.2f} | {sum(outcome.memory_mb.values()):.0f} |",
        "",
        "| step | ms a frame | how it was taken |",
        "|---|---|---|",
        f"| checksum | {steps['checksum']:.2f} | alone, same frames |",
        f"| decode | {steps['decode']:.2f} | alone, same frames |",
        f"| reduce, trimmed mean | {steps['reduce']:.2f} | alone, same frames |",
        f"| reducers' transport and rest | {reducers - sum(steps.values()):.2f} | what is left |",
        f"| absorb: sinogram and FBP | {absorbed:.2f} | the absorber's own clock (wall) |",
        f"| fit and results | {fitted:.2f} | the absorber's own clock (wall) |",
        f"| record | {per_frame.get('recorder', NAN):.2f} | its process |",
        f"| receive and hub | {per_frame.get('hub', NAN):.2f} | its process |",
        f"| the replaying detector | {per_frame.get('detector', NAN):.2f} | its process |",
    ]
    numbers = {"per_frame_ms": per_frame, "steps_ms": steps, "outcome": _numbers(outcome)}
    return Section("The chain: where the time goes", "\n".join(lines), numbers)


def _steps_ms(frames: Line, setting: Setting) -> dict[str, float]:
    """Checksum, decode and reduce on their own, medians over the line's frames."""
    camera = data.Camera(dataclasses.replace(frames.detector, q_range=setting.q_range))
    shape = frames.detector.shape()
    reduce = ours.Powder.of(camera, frames.dtype, setting.channels).trimmed(0.1)
    decode = ours.decoder(shape, frames.dtype)
    taken: dict[str, list[float]] = {"checksum": [], "decode": [], "reduce": []}
    reduce(decode(frames.payloads[0]))
    for payload in frames.payloads[:: max(1, TRANSLATIONS // 40)]:
        for name, call in _calls(payload, decode, reduce):
            began = time.process_time()
            call()
            taken[name].append(1e3 * (time.process_time() - began))
    return {name: float(np.median(values)) for name, values in taken.items()}


def _calls(
    payload: bytes, decode: Callable[[bytes], Any], reduce: Callable[[Any], Any]
) -> list[tuple[str, Callable[[], object]]]:
    pixels = decode(payload)
    return [
        ("checksum", lambda: ours.checksum(payload)),
        ("decode", lambda: decode(payload)),
        ("reduce", lambda: reduce(pixels)),
    ]


def _tried_section(tried: list[Outcome]) -> Section:
    lines = [
        "| rate wanted, Hz | frames | lag at the start, s | lag after, s | lost | detector late, s "
        "| live maps | longest wait for one, s | final after, s | held |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {o.setting.rate:.1f} | {o.setting.frames()} | {o.start_lag_s:.2f} "
            f"| {o.lag_s:.2f} | {o.lost} | {o.source_late_s:.2f} | {o.maps} "
            f"| {o.longest_wait_s:.1f} | {o.final_s:.1f} "
            f"| {'yes' if o.sustained(LAG_S) else 'no'} |"
            for o in tried
        ),
        "",
        f"Held: nothing lost, no frame older than {LAG_S:g} s before it is recorded and absorbed, "
        f"after the first {SETTLE_S:g} s in which a scan's tables are made.",
    ]
    return Section("The chain: rates tried", "\n".join(lines), {"runs": list(map(_numbers, tried))})


def _scaling_section(outcomes: list[Outcome]) -> Section:
    lines = [
        "| detector | pixels | channels | reducers | frames/s | MB of memory, all |",
        "|---|---|---|---|---|---|",
    ]
    for o in outcomes:
        rows, cols = o.setting.detector.shape()
        lines.append(
            f"| {o.setting.detector.name} | {rows} x {cols} | {o.setting.channels} "
            f"| {o.setting.reducers} | {o.frames_per_s():.1f} | {sum(o.memory_mb.values()):.0f} |"
        )
    text = "\n".join(["As fast as the frames are taken.", "", *lines])
    return Section("The chain: scaling", text, {"runs": list(map(_numbers, outcomes))})


def _numbers(outcome: Outcome) -> dict[str, Any]:
    numbers = dataclasses.asdict(outcome)
    numbers["setting"]["detector"] = outcome.setting.detector.name
    return numbers


def _say(line: str) -> None:
    print(line, flush=True)
