"""Filtered back-projection: 200 channels projection by projection, one channel, a rebuild."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import ours
from .harness import Absent, Agreement, Comparison, Contender
from .machine import version_of

F32 = NDArray[np.float32]
TRANSLATIONS, ANGLES, CHANNELS = 351, 350, 200  # of the paper; 200 of a pattern's channels


@dataclass(frozen=True, slots=True)
class Phantom:
    """Discs in a circle, each with its own spectrum.

    sinogram: (angles, translations, channels) line integrals for voxels of size 1
    truth: (rows, cols, channels); angles: (angles,) [rad]
    """

    sinogram: F32
    truth: F32
    angles: NDArray[np.float64]


def phantom(channels: int, translations: int = TRANSLATIONS, angles: int = ANGLES) -> Phantom:
    """Sixty discs: a disc's projection is a half ellipse, so the truth is known."""
    random = np.random.default_rng(3)
    middle = 0.5 * (translations - 1)
    discs = 60
    away = 0.8 * middle * np.sqrt(random.random(discs))
    turn = 2 * math.pi * random.random(discs)
    x, y = away * np.cos(turn), away * np.sin(turn)
    radius = middle * random.uniform(0.03, 0.14, discs)
    spectra = random.random((discs, channels)).astype(np.float32) + 0.2
    theta = np.arange(angles) * math.pi / angles
    place = np.arange(translations) - middle
    sinogram = np.zeros((angles, translations, channels), np.float32)
    truth = np.zeros((translations, translations, channels), np.float32)
    rows, cols = np.meshgrid(place, place, indexing="ij")
    for n in range(discs):
        shift = x[n] * np.cos(theta) + y[n] * np.sin(theta)
        chord = 2 * np.sqrt(
            np.maximum(radius[n] ** 2 - (place[None, :] - shift[:, None]) ** 2, 0.0)
        )
        sinogram += chord.astype(np.float32)[:, :, None] * spectra[n]
        inside = (rows - y[n]) ** 2 + (cols - x[n]) ** 2 <= radius[n] ** 2
        truth[inside] += spectra[n]
    return Phantom(sinogram, truth, theta)


def streaming(quick: bool) -> Iterator[Comparison]:
    """200 channels: ours as projections come, peers channel by channel afterwards."""
    data = phantom(CHANNELS)
    streaming_fbp = ours.StreamingFbp(TRANSLATIONS, CHANNELS)
    some = 4 if quick else CHANNELS
    goals = {"astra": 20.0, "scikit-image": 40.0, "algotom": 10.0}
    yield Comparison(
        work="FBP 351 x 351 x 200 channels from 350 projections, streaming, a volume",
        ours=Contender(
            "operando",
            ours.version(),
            lambda _: streaming_fbp.reconstruct(data.sinogram, data.angles),
        ),
        peers=[
            *peers_of(
                data, some, goals, CHANNELS / some,
                f"peer on {some} of {CHANNELS} channels, scaled" if some < CHANNELS else "",
            ),
            Contender(
                "operando, never two projections at a time", ours.version(),
                lambda _: np.moveaxis(
                    streaming_fbp.reconstruct(data.sinogram, data.angles, 1), -1, 0
                ),
                note="what it costs when nothing ever waits",
            ),
        ],
        agree=_same_image(data.truth, some),
        rounds=3,
        budget_s=30.0 if quick else 500.0,
    )  # fmt: skip


def one_channel(quick: bool) -> Iterator[Comparison]:
    """One channel alone."""
    data = phantom(1)
    streaming_fbp = ours.StreamingFbp(TRANSLATIONS, 1)
    goals = dict.fromkeys(("astra", "scikit-image", "algotom"), 1.0)
    yield Comparison(
        work="FBP 351 x 351, one channel from 350 projections, an image",
        ours=Contender(
            "operando",
            ours.version(),
            lambda _: streaming_fbp.reconstruct(data.sinogram, data.angles),
        ),
        peers=peers_of(data, 1, goals, 1.0, ""),
        agree=_same_image(data.truth, 1),
        rounds=3 if quick else 11,
    )


def peers_of(
    data: Phantom, channels: int, goals: dict[str, float], scale: float, note: str
) -> list[Contender | Absent]:
    """Peers that reconstruct the first channels, each from its own contiguous sinogram."""
    sinograms = [np.ascontiguousarray(data.sinogram[:, :, c]) for c in range(channels)]
    makers: dict[str, tuple[str, Callable[[Any, Any], Callable[[F32], Any]]]] = {
        "astra": ("astra-toolbox", _astra),
        "scikit-image": ("scikit-image", _scikit_image),
        "algotom": ("algotom", _algotom),
        "silx": ("silx", _silx),
    }
    peers: list[Contender | Absent] = []
    for name, (distribution, make) in makers.items():
        label = {
            "astra": "astra FBP, CPU linear",
            "scikit-image": "scikit-image iradon, linear",
            "algotom": "algotom fbp, CPU",
            "silx": "silx FBP, OpenCL on the CPU",
        }[name]
        goal = goals.get(name, float("nan"))
        try:
            one = make(data.angles, sinograms[0])
        except Exception as error:
            reason = f"{error}".splitlines()[0] if str(error) else type(error).__name__
            peers.append(Absent(label, reason, goal))
            continue
        peers.append(
            Contender(label, version_of(distribution), _all(one, sinograms), goal, scale, note)
        )
    return peers


def _all(one: Callable[[F32], Any], sinograms: list[F32]) -> Callable[[int], list[F32]]:
    return lambda _: [one(sinogram) for sinogram in sinograms]


def _astra(angles: Any, first: F32) -> Callable[[F32], Any]:
    import astra

    size = first.shape[1]
    volume = astra.create_vol_geom(size, size)
    rays = astra.create_proj_geom("parallel", 1.0, size, angles)
    projector = astra.create_projector("linear", rays, volume)
    data_id = astra.data2d.create("-sino", rays)
    image_id = astra.data2d.create("-vol", volume)
    config = astra.astra_dict("FBP")
    config["ProjectorId"] = projector
    config["ProjectionDataId"] = data_id
    config["ReconstructionDataId"] = image_id
    config["option"] = {"FilterType": "ram-lak"}
    algorithm = astra.algorithm.create(config)

    def run(sinogram: F32) -> Any:
        astra.data2d.store(data_id, sinogram)
        astra.algorithm.run(algorithm)
        return astra.data2d.get(image_id)[::-1]  # its y axis runs up

    return run


def _scikit_image(angles: Any, first: F32) -> Callable[[F32], Any]:
    from skimage.transform import iradon

    degrees = np.degrees(angles)

    def run(sinogram: F32) -> Any:
        # its y axis runs up, and the axis of an odd field is its middle pixel
        image = iradon(sinogram.T, theta=degrees, filter_name="ramp", interpolation="linear")
        return image[::-1]

    return run


def _algotom(angles: Any, first: F32) -> Callable[[F32], Any]:
    from algotom.rec.reconstruction import fbp_reconstruction, make_2d_ramp_window

    rows, cols = first.shape
    centre = 0.5 * (cols - 1)
    # made once, as its documentation advises for many slices; the padding is its own default
    ramp = make_2d_ramp_window(rows, cols + 2 * min(int(0.15 * cols), 150), None)

    def run(sinogram: F32) -> Any:
        image = fbp_reconstruction(
            sinogram, centre, angles=angles, ratio=None, ramp_win=ramp, filter_name=None,
            apply_log=False, gpu=False, ncore=1,
        )  # fmt: skip
        return image[::-1]  # its y axis runs up

    return run


def _silx(angles: Any, first: F32) -> Callable[[F32], Any]:
    from silx.opencl.backprojection import Backprojection

    engine = Backprojection(first.shape, angles=angles, devicetype="CPU")
    return lambda sinogram: engine.filtered_backprojection(sinogram)


def _same_image(truth: F32, channels: int) -> Callable[[Any, Any], Agreement]:
    """Inside the circle: as near to the truth as ours to a tenth, and little apart."""
    size = truth.shape[0]
    place = np.arange(size) - 0.5 * (size - 1)
    inside = np.hypot(place[:, None], place[None, :]) < 0.95 * 0.5 * size

    def rms(values: Any) -> float:
        return float(np.sqrt(np.mean(np.asarray(values, np.float64) ** 2)))

    def agree(mine: Any, theirs: list[Any]) -> Agreement:
        apart, my_error, their_error = [], [], []
        for c in range(channels):
            a, b, t = mine[..., c][inside], np.asarray(theirs[c])[inside], truth[..., c][inside]
            scale = rms(t)
            apart.append(rms(a - b) / scale)
            my_error.append(rms(a - t) / scale)
            their_error.append(rms(b - t) / scale)
        mean = [float(np.mean(v)) for v in (apart, my_error, their_error)]
        return Agreement(
            mean[0] < 0.05 and abs(mean[1] / mean[2] - 1) < 0.25,
            f"rms apart {mean[0]:.4f} of the image's; "
            f"from the truth ours {mean[1]:.3f}, peer's {mean[2]:.3f}",
        )

    return agree
