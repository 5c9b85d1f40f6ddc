"""Putting a scan's identity and progress on the arrays that a consumer hands out."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from ..stream.messages import Array, Result, Scalar, ScanStart

log = logging.getLogger(__name__)


class Labels:
    """Makes the Results of one consumer of one scan."""

    def __init__(self, start: ScanStart, consumer: str) -> None:
        self._start = start
        self._consumer = consumer
        self._revision = 0
        self._completeness = 0.0
        self._final = False
        self._warned = False

    def next_revision(self, frames: int, final: bool) -> None:
        """What comes now is newer and rests on so many frames."""
        self._revision += 1
        self._completeness = frames / max(self._start.frames, 1)
        self._final = final

    def region_um(self) -> tuple[float, float]:
        """(x, y) of the slice that lay on the rotation axis, by the scan's notes [um]."""
        x_um, y_um = (self._start.notes.get(f"region_{n}_um", 0.0) for n in "xy")
        return (
            float(x_um) if isinstance(x_um, (int, float)) else 0.0,
            float(y_um) if isinstance(y_um, (int, float)) else 0.0,
        )

    def warn(self, warning: str) -> None:
        """Log a warning about the scan, the first of all only."""
        if not self._warned:
            self._warned = True
            log.warning("scan %s, %s: %s", self._start.scan, self._consumer, warning)

    def result(
        self,
        name: str,
        unit: str,
        dims: tuple[str, ...],
        coords: Mapping[str, Array],
        units: Mapping[str, str],
        values: Array,
        *,
        uncertainty: Array | None = None,
        live: bool = True,
        attrs: Mapping[str, Scalar] | None = None,
    ) -> Result:
        """One labelled array; values become float32."""
        start = self._start
        return Result(
            run=start.run,
            scan=start.scan,
            number=start.number,
            consumer=self._consumer,
            name=name,
            dims=dims,
            coords=dict(coords),
            units=dict(units),
            unit=unit,
            values=np.asarray(values, np.float32),
            uncertainty=None if uncertainty is None else np.asarray(uncertainty, np.float32),
            completeness=self._completeness,
            revision=self._revision,
            final=self._final,
            live=live,
            attrs=dict(attrs or {}),
        )
