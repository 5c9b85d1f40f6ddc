"""The known misbehaviours of DECTRIS detectors and of their emulators, injected by a seed.

What happens to an image depends on the seed, its series and its index alone, so that two runs of
the same seed misbehave alike, and a test can say beforehand what must be accounted for.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .dectris_series import Image

Parts = list[bytes]
_ZERO_PREFIX = bytes(12)  # of the HDF5 filter framing: u64 bytes of image, u32 bytes of a block
_OF_IMAGES = (
    "drop", "duplicate", "reorder", "wrong_size", "bad_md5", "zero_prefix", "truncate",
)  # fmt: skip
_OF_SERIES = ("header_missed", "end_early")


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """How often a detector misbehaves: each number is a share from 0 to 1.

    Of a series' images, each hit by one at most:
    drop: never sent
    duplicate: sent twice
    reorder: sent after the next image; the last one after the end message
    wrong_size: its header lies about its size
    bad_md5: its md5 is another one's; stream V1 only, V2 carries none
    zero_prefix: its container's first twelve bytes are zero; it is sound all the same
    truncate: the second half of its payload is missing
    Of all series, each hit by one at most:
    header_missed: the start message is never sent
    end_early: the end message comes after one of its images, and no image after that
    """

    seed: int = 0
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    wrong_size: float = 0.0
    bad_md5: float = 0.0
    zero_prefix: float = 0.0
    truncate: float = 0.0
    header_missed: float = 0.0
    end_early: float = 0.0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, a number from 0 is needed")
        for names in (_OF_IMAGES, _OF_SERIES):
            shares = {name: float(getattr(self, name)) for name in names}
            for name, share in shares.items():
                if not 0 <= share <= 1:
                    raise ValueError(f"{name} is {share}, a share from 0 to 1 is needed")
            if sum(shares.values()) > 1 + 1e-9:
                raise ValueError(f"{' + '.join(names)} is {sum(shares.values()):g}, more than 1")

    def of_image(self, series: int, index: int) -> str:
        """What happens to an image: the name of a field, "" for nothing."""
        return self._drawn(_OF_IMAGES, (self.seed, 1, series, index))

    def of_series(self, series: int) -> str:
        """What happens to a series: the name of a field, "" for nothing."""
        return self._drawn(_OF_SERIES, (self.seed, 2, series))

    def images_before_end(self, series: int, images: int) -> int:
        """How many images of a series the detector means to send."""
        if self.of_series(series) != "end_early":
            return images
        return int(np.random.default_rng((self.seed, 3, series)).integers(images))

    def _drawn(self, names: tuple[str, ...], key: tuple[int, ...]) -> str:
        if not any(getattr(self, name) for name in names):
            return ""
        share = float(np.random.default_rng(key).random())
        for name in names:
            share -= getattr(self, name)
            if share < 0:
                return name
        return ""


class FaultyLine:
    """Turns what a detector would send into what a misbehaving one does; used by one thread.

    build: makes the messages' parts of an Image
    v1: whether what it builds is stream V1
    """

    def __init__(
        self, misbehaviour: Misbehaviour, build: Callable[[Image], Parts], v1: bool
    ) -> None:
        self._misbehaviour = misbehaviour
        self._build = build
        self.v1 = v1
        self._gives_up_at = math.inf
        self._ended = False
        self._held: Parts | None = None

    def start(self, series: int, images: int, message: Parts) -> Iterator[Parts]:
        """The messages in place of a start."""
        self._held, self._ended = None, False
        sent = self._misbehaviour.images_before_end(series, images)
        self._gives_up_at = sent if sent < images else math.inf
        if self._misbehaviour.of_series(series) != "header_missed":
            yield message

    def image(self, image: Image, end: Parts) -> Iterator[Parts]:
        """The messages in place of an image; end: the series' end message."""
        if image.index >= self._gives_up_at:
            yield from self.end(end)
            return
        fault = self._misbehaviour.of_image(image.series, image.index)
        held, self._held = self._held, None
        if fault == "reorder":
            self._held = self._build(image)
        elif fault != "drop":
            message = self._spoilt(fault, image)
            yield message
            if fault == "duplicate":
                yield message
        if held is not None:
            yield held

    def end(self, message: Parts) -> Iterator[Parts]:
        """The messages in place of an end."""
        held, self._held = self._held, None
        if not self._ended:
            self._ended = True
            yield message
        if held is not None:
            yield held

    def _spoilt(self, fault: str, image: Image) -> Parts:
        data = bytes(image.data)
        if fault == "zero_prefix" and image.encoding != "raw":
            image = dataclasses.replace(image, data=_ZERO_PREFIX + data[len(_ZERO_PREFIX) :])
        elif fault == "truncate":
            image = dataclasses.replace(image, data=data[: len(data) // 2])
        elif fault == "wrong_size" and not self.v1:
            rows, cols = image.shape
            image = dataclasses.replace(image, shape=(rows + 1, cols))
        parts = self._build(image)
        if fault == "wrong_size" and self.v1:
            told = b'"size": %d' % len(data)
            parts[1] = parts[1].replace(told, b'"size": %d' % (len(data) + 1))
        elif fault == "bad_md5" and self.v1:
            digest = parts[0].index(b'"hash": "') + len(b'"hash": "')
            parts[0] = parts[0][:digest] + b"0" * 32 + parts[0][digest + 32 :]
        return parts
