"""Nothing starts on compiled kernels that others could have written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from operando.cli import check, hardware, kernel_cache, serve
from operando.cli.experiment_file import load
from operando.cli.kernel_cache import cache_fault, others_who_write
from operando.cli.run import compile_kernels

QUICK = Path(check.__file__).with_name("quick.yaml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "kernels"
    made.mkdir(mode=0o755)
    return made


def test_a_folder_of_ones_own_is_nobody_elses(folder: Path) -> None:
    assert others_who_write(folder) == ""
    folder.chmod(0o700)
    assert others_who_write(folder) == ""


def test_a_folder_that_everybody_writes_is_named_sticky_or_not(folder: Path) -> None:
    for mode in (0o777, 0o1777, 0o702):
        folder.chmod(mode)
        assert others_who_write(folder) == "everybody"


def test_a_folder_that_everybody_can_put_away_is_named_and_not_where_only_its_owner_can(
    folder: Path,
) -> None:
    folder.parent.chmod(0o777)
    assert others_who_write(folder) == "everybody"
    folder.parent.chmod(0o1777)
    assert others_who_write(folder) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_another_owner_and_a_group_of_several_are_named(folder: Path) -> None:
    os.chown(folder, 54321, 0)
    assert others_who_write(folder) == "user 54321"
    os.chown(folder, 0, 54321)
    assert others_who_write(folder) == ""
    folder.chmod(0o775)
    assert others_who_write(folder) == "group 54321"


def test_a_cache_that_everybody_can_write_is_neither_read_nor_written(tmp_path: Path) -> None:
    assert cache_fault() == ""
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-m", "operando.cli.main", "warm"],
        capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "everybody can write" in done.stderr
    assert "NUMBA_CACHE_DIR" in done.stderr
    assert not list(cache.rglob("*.nb?"))


def test_check_a_run_and_every_part_that_runs_kernels_refuse_it(monkeypatch) -> None:
    monkeypatch.setattr(kernel_cache, "others_who_write", lambda folder: "everybody")
    experiment = load(QUICK)
    for start in (
        lambda: compile_kernels(print),
        lambda: serve.serve_absorber(experiment),
        lambda: serve.serve_reducer(experiment, "reducer-0"),
        lambda: hardware.serve_sim(experiment, None),
        lambda: hardware.serve_bench(experiment),
        lambda: hardware.serve_detector(experiment, None),
    ):
        with pytest.raises(SystemExit, match="everybody can write"):
            start()
    said: list[str] = []
    assert not check.check_experiment(experiment, said.append, reach=False, measure=True)
    assert sum(line.startswith("FAULT compiled kernels") for line in said) == 1
