"""Compiled code that is kept must not outlive what was compiled into it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

INNER = """
from operando.consumers.kernels.options import inlined

@inlined
def step():
    return {step}
"""
OUTER = """
from inner import step
from operando.consumers.kernels.options import kernel

@kernel
def twice():
    return 2 * step()

print(twice(), twice.stats.cache_hits[()] if twice.stats.cache_hits else 0)
"""


def run(folder: Path) -> tuple[int, int]:
    """What twice() answers in a new process, and whether it was compiled before."""
    child = subprocess.run(
        [sys.executable, "outer.py"], cwd=folder, capture_output=True, text=True, timeout=120,
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")},
    )  # fmt: skip
    assert child.returncode == 0, child.stderr[-2000:]
    answer, hits = child.stdout.split()
    return int(answer), int(hits)


def test_a_change_in_another_file_is_compiled_in(tmp_path: Path) -> None:
    (tmp_path / "inner.py").write_text(INNER.format(step=3))
    (tmp_path / "outer.py").write_text(OUTER)
    assert run(tmp_path) == (6, 0)
    assert run(tmp_path) == (6, 1)
    (tmp_path / "inner.py").write_text(INNER.format(step=5))
    assert run(tmp_path) == (10, 0)
