"""Several processes that start at once with nothing compiled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import hashlib, numpy
from operando.consumers.kernels import fbp
from operando.consumers.lattice import LatticeSearch
from operando.consumers.xrdct_config import XrdctConfig
projections = numpy.random.default_rng(1).normal(size=(9, 31, 16)).astype(numpy.float32)
angles, volume = numpy.arange(9) / 3, numpy.zeros((31, 31, 16), numpy.float32)
fbp.back_project(
    projections, numpy.cos(angles), numpy.sin(angles), 15.0, fbp.circle(31, 15.0),
    numpy.ones(9), volume,
)
q = numpy.linspace(1.1, 4.7, 720)
search = LatticeSearch(XrdctConfig().lattice_model(), q, numpy.ones(720))
fits, curve = search.fit_one(numpy.random.default_rng(2).normal(9, 1, 720))
digest = hashlib.sha256(volume.tobytes() + fits.a.tobytes() + curve.tobytes()).hexdigest()
print(digest, sum(fbp.back_project.stats.cache_hits.values()))
"""


def start(cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> list[str]:
    out, error = process.communicate(timeout=400)
    assert process.returncode == 0, error
    return out.split()


@pytest.mark.slow
@pytest.mark.timeout(600)  # three compile at once, on a busy machine
def test_workers_that_compile_at_once_agree_and_leave_a_whole_cache(tmp_path: Path) -> None:
    workers = [start(tmp_path) for _ in range(3)]
    answers = [answer(worker)[0] for worker in workers]
    assert len(set(answers)) == 1
    digest, hits = answer(start(tmp_path))
    assert digest == answers[0]
    assert int(hits) > 0  # the fourth one found what the three left
    assert not list(tmp_path.rglob("tmp*"))
