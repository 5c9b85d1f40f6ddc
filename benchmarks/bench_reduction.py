"""Frame to pattern: the mean with whole and with shared pixels, the trimmed mean, two threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from . import data, ours
from .harness import Absent, Agreement, Comparison, Contender
from .peers_pyfai import MEAN_ENGINES, MEDIAN_ENGINES, SPLIT_ENGINES, Engine, Pyfai, pixel_widths
from .peers_pyfai import version as pyfai_version
from .reference import TrimmedRings, trimmed_rings

TRIM = 0.1  # pyFAI's percentiles 5 and 95
FRAMES = 4  # of 10 MB, in turns: more than fits the caches next to the tables
WORTH_COMPARING = 50  # pixels of a ring


def mean(quick: bool) -> Iterator[Comparison]:
    """Mean of every ring, each pixel in one ring."""
    camera = data.Camera(data.PILATUS_2M)
    frames = camera.frames(9.0, FRAMES)
    powder, pyfai = ours.Powder.of(camera), Pyfai(camera)
    yield Comparison(
        work="Pilatus 2M mean, whole pixels, a frame",
        ours=_contender(powder.mean(), frames),
        peers=[_peer(engine, pyfai.mean(engine), frames, 9.0) for engine in MEAN_ENGINES],
        agree=_same_pattern(_pixels(powder)),
        rounds=3 if quick else 15,
    )
    engine = MEAN_ENGINES[0]
    yield Comparison(
        work="Pilatus 2M mean with sigma, whole pixels, a frame",
        ours=_contender(powder.mean(), frames),
        peers=[_peer(engine, pyfai.mean(engine, errors=True), frames)],
        agree=_same_pattern(_pixels(powder)),
        rounds=3 if quick else 15,
    )


def split(quick: bool) -> Iterator[Comparison]:
    """Mean of every ring, pixels shared out (bounding box)."""
    camera = data.Camera(data.PILATUS_2M)
    frames = camera.frames(9.0, FRAMES)
    powder, pyfai = ours.Powder.of(camera), Pyfai(camera)
    yield Comparison(
        work="Pilatus 2M mean, shared pixels, a frame",
        ours=_contender(powder.split_mean(), frames),
        peers=[_peer(engine, pyfai.mean(engine), frames) for engine in SPLIT_ENGINES],
        agree=_same_pattern(_pixels(powder)),
        rounds=3 if quick else 15,
    )


def trimmed(quick: bool) -> Iterator[Comparison]:
    """Trimmed mean of every ring, exact, at three levels of counts."""
    camera = data.Camera(data.PILATUS_2M)
    powder, pyfai = ours.Powder.of(camera), Pyfai(camera)
    for counts in (0.1, 9.0, 400.0):
        frames = camera.frames(counts, FRAMES)
        truth = trimmed_truth(powder, camera, frames[0])
        run = powder.trimmed(TRIM)
        problem = _not_exact(run(frames[0]).values, truth)
        work = f"Pilatus 2M 10 % trimmed mean, exact, {counts:g} counts a pixel, a frame"
        yield Comparison(
            work=work,
            ours=Absent("operando", problem) if problem else _contender(run, frames),
            peers=[
                _peer(engine, pyfai.trimmed(engine, 50 * TRIM, 100 - 50 * TRIM), frames, 12.0)
                for engine in MEDIAN_ENGINES
            ],
            agree=within_borders(truth),
            rounds=3 if quick else 11,
            budget_s=40.0,
        )


def fast_trimmed(quick: bool) -> Iterator[Comparison]:
    """Trimmed mean of every ring, the variant with an error bound."""
    camera = data.Camera(data.PILATUS_2M)
    powder, pyfai = ours.Powder.of(camera), Pyfai(camera)
    engine = MEDIAN_ENGINES[0]
    for counts in (0.1, 9.0, 400.0):
        run = powder.fast_trimmed(TRIM)
        frames = camera.frames(counts, FRAMES) if run is not None else []
        contender: Contender | Absent = Absent("operando", "not there yet")
        agree: Callable[[Any, Any], Agreement] = _nothing_to_compare
        if run is not None:
            truth = trimmed_truth(powder, camera, frames[0])
            away = np.nanmax(np.abs(run(frames[0]).values - truth.mean) / truth.sigma)
            contender = _contender(run, frames, f"{away:.3f} standard errors from exact at most")
            if away > 0.1:
                contender = Absent("operando", f"not exact enough: {away:.3f} standard errors")
            agree = within_borders(truth, 0.1)
        yield Comparison(
            work=f"Pilatus 2M 10 % trimmed mean, fast variant, {counts:g} counts a pixel, a frame",
            ours=contender,
            peers=[_peer(engine, pyfai.trimmed(engine, 50 * TRIM, 100 - 50 * TRIM), frames, 28.0)],
            agree=agree,
            rounds=3 if quick else 11,
            budget_s=30.0,
        )


def two_threads(quick: bool) -> Iterator[Comparison]:
    """Trimmed mean, frames on two threads against one."""
    camera = data.Camera(data.PILATUS_2M)
    frames = camera.frames(9.0, FRAMES)
    run = ours.Powder.of(camera).trimmed(TRIM)
    batch = 16
    chosen = [frames[n % FRAMES] for n in range(batch)]

    def by(threads: int) -> Contender:
        pool = ThreadPoolExecutor(threads)

        def work(_: int) -> list[ours.Pattern]:
            return list(pool.map(run, chosen))

        return Contender(
            "operando, one thread" if threads == 1 else "operando", ours.version(), work,
            goal=1.8 if threads == 1 else float("nan"), scale=1 / batch,
        )  # fmt: skip

    def agree(two: list[ours.Pattern], one: list[ours.Pattern]) -> Agreement:
        same = all(np.array_equal(a.values, b.values) for a, b in zip(two, one, strict=True))
        return Agreement(same, "equal to the last bit" if same else "differ")

    yield Comparison(
        work="Pilatus 2M 10 % trimmed mean, two threads, a frame",
        ours=by(2),
        peers=[by(1)],
        agree=agree,
        rounds=5 if quick else 25,
        threads=2,
        note="needs two idle cores",
    )


def _contender(run: Callable[[Any], Any], frames: list[Any], note: str = "") -> Contender:
    return Contender("operando", ours.version(), lambda n: run(frames[n % len(frames)]), note=note)


def _peer(
    engine: Engine, run: Callable[[Any], Any], frames: list[Any], goal: float = float("nan")
) -> Contender:
    return Contender(
        engine.name(), pyfai_version(), lambda n: run(frames[n % len(frames)]), goal=goal
    )


def _pixels(powder: ours.Powder) -> Any:
    ring = powder.rings()
    return np.bincount(ring, minlength=data.BINS + 1)[: data.BINS]


def trimmed_truth(powder: ours.Powder, camera: data.Camera, frame: Any) -> TrimmedRings:
    """The exact answer."""
    ring = np.where(frame.ravel() >= data.SATURATION, data.BINS, powder.rings())
    width = pixel_widths(camera.poni, camera.detector.shape())
    return trimmed_rings(frame, ring, width, data.BINS, TRIM)


def _not_exact(values: Any, truth: TrimmedRings) -> str:
    """Why values are not the exact answer; "" where they are, to 1e-6 and float32's digits."""
    scale = np.maximum(np.abs(truth.mean), truth.sigma)
    away = float(np.nanmax(np.abs(values - truth.mean) / scale))
    known = np.array_equal(np.isnan(values), np.isnan(truth.mean))
    return "" if known and away < 1e-6 else f"not exact: {away:.1e} from the reference"


def _same_pattern(pixels: Any) -> Callable[[Any, Any], Agreement]:
    """Half of the rings to 1e-5, all but one in a hundred within 0.1 sigma.

    pyFAI holds positions in float32: single pixels on a border count for the next ring.
    """

    def agree(mine: ours.Pattern, theirs: Any) -> Agreement:
        worth = pixels >= WORTH_COMPARING
        away = np.abs(np.asarray(theirs.intensity) - mine.values)[worth]
        median = float(np.median(away / np.abs(mine.values[worth])))
        rest = float(np.quantile(away / mine.sigma[worth], 0.99))
        return Agreement(
            median < 1e-5 and rest < 0.1,
            f"median {median:.0e}, 99 % of rings within {rest:.3f} sigma",
        )

    return agree


def within_borders(truth: TrimmedRings, more: float = 0.0) -> Callable[[Any, Any], Agreement]:
    """pyFAI drops the two pixels on the cuts: it may be as far away as these can move the mean.

    more: standard errors on top
    """

    def agree(mine: ours.Pattern, theirs: Any) -> Agreement:
        worth = truth.pixels >= WORTH_COMPARING
        away = np.abs(np.asarray(theirs.intensity) - mine.values)[worth]
        allowed = (truth.border + 2e-5 * np.abs(truth.mean) + more * truth.sigma)[worth]
        inside = float(np.mean(away <= allowed))
        relative = float(np.median(away / np.abs(truth.mean[worth])))
        return Agreement(
            inside >= 0.99,
            f"median {relative:.1e}, {inside:.1%} of rings within their two border pixels",
        )

    return agree


def _nothing_to_compare(mine: Any, theirs: Any) -> Agreement:
    return Agreement(False, "nothing to compare")
