"""A SIMPLON detector's parameters and commands as ophyd signals; the parent has the line."""

from __future__ import annotations

import time
from typing import Any

from ophyd.signal import Signal

from .simplon import SimplonError


class SimplonSignal(Signal):
    """A parameter of the detector, asked for anew every time it is read."""

    def __init__(self, *, where: str, unit: str = "", **kwargs: Any) -> None:
        """where: "module/task/name", e.g. "detector/status/temperature"."""
        super().__init__(**kwargs)
        self._module, self._task, self._key = where.split("/", 2)
        self._unit = unit

    def get(self, **_: Any) -> Any:
        """What the detector answers. Raises SimplonError."""
        value = self.parent.simplon.get(self._module, self._task, self._key)
        self._readback = value
        self._metadata["timestamp"] = time.time()
        return value

    def read(self) -> dict[str, Any]:
        """Value and the time it was asked for."""
        return {self.name: {"value": self.get(), "timestamp": time.time()}}

    def put(self, value: Any, **_: Any) -> None:
        """Write a configuration parameter. Raises SimplonError."""
        if self._task != "config":
            raise SimplonError(f"{self.name} is a status: it can only be read")
        self.parent.simplon.put(self._module, self._key, value)

    def describe(self) -> dict[str, Any]:
        """Type, unit and URL."""
        value = self.get()
        kind = "string" if isinstance(value, str) else "number"
        if isinstance(value, bool):
            kind = "boolean"
        simplon = self.parent.simplon
        source = f"{simplon.url}/{self._module}/api/{simplon.version}/{self._task}/{self._key}"
        found = {"source": source, "dtype": kind, "shape": []}
        return {self.name: {**found, "units": self._unit} if self._unit else found}


class EndSignal(Signal):
    """Set to the number of frames of a series that was ended before its time."""

    def put(self, value: Any, **kwargs: Any) -> None:
        """End the series after what has been taken. Raises SimplonError."""
        self.parent.end_after(int(value))
        super().put(value, force=True)
