"""Real measured data, which is not part of the project: tests skip where it is absent."""

from __future__ import annotations

import os
from pathlib import Path

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
DATA = Path(os.environ.get("OPERANDO_DATA", _BESIDE))
