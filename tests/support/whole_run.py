"""Whole runs in processes of their own, and what they leave behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operando.cli.soak_verdict import left_behind


@dataclass(frozen=True)
class Finished:
    """A command that has ended, and its folder."""

    folder: Path
    code: int
    said: str

    def summary(self) -> dict[str, Any]:
        return json.loads((self.folder / "summary.json").read_text())


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "operando.cli.main", *map(str, arguments)]


def environment() -> dict[str, str]:
    """This one, without a display: the window renders to pictures."""
    hidden = {"DISPLAY", "WAYLAND_DISPLAY"}
    return {**{k: v for k, v in os.environ.items() if k not in hidden}, "COLUMNS": "200"}


def run(folder: Path, *arguments: object, timeout_s: float = 170.0) -> Finished:
    done = subprocess.run(
        command(*arguments, "--out", folder), env=environment(), cwd=folder.parent,
        capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip
    return Finished(folder, done.returncode, done.stdout + done.stderr)


def left_running(folder: Path) -> list[str]:
    """Processes that still work in folder, by their command lines."""
    return left_behind(folder)
