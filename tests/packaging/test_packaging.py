"""The repository root is the package `operando`: its list of rooms, its wheel, its imports."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("stream", "detectors", "plans", "consumers", "live_views", "sim", "materials", "cli")


def listed_packages() -> list[str]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return config["tool"]["setuptools"]["packages"]


def tracked(pattern: str) -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / line for line in listing.stdout.splitlines()]


def test_every_room_stands_in_the_package_list_and_nothing_else_does():
    on_disk = {"operando"}
    for room in ROOMS:
        for init in (ROOT / room).rglob("__init__.py"):
            on_disk.add("operando." + ".".join(init.parent.relative_to(ROOT).parts))
    assert set(listed_packages()) == on_disk


def test_tests_are_no_package():
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_wheel_holds_every_module_and_every_data_file(tmp_path):
    source = tmp_path / "source"
    for path in tracked("*"):  # a build leaves folders behind: not in somebody's checkout
        if path.is_file():
            target = source / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "--wheel-dir", str(tmp_path), str(source)],
        check=True, cwd=tmp_path,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        "operando/" + str(path.relative_to(ROOT))
        for room in ROOMS
        for path in tracked(f"{room}/*")
        if path.suffix in {".py", ".cif", ".csv", ".toml", ".yaml", ".poni"}
    }
    assert wanted <= held, f"missing from the wheel: {sorted(wanted - held)}"
    assert not [name for name in held if name.startswith("operando/tests")]


@pytest.mark.parametrize("path", [p for room in ROOMS for p in tracked(f"{room}/*.py")], ids=str)
def test_no_room_is_imported_by_its_bare_name(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        else:
            continue
        tops = {name.split(".")[0] for name in names}
        assert not tops & {*ROOMS, "operando"}, f"line {node.lineno}: {names} should be relative"


@pytest.mark.parametrize("path", [p for room in ROOMS for p in tracked(f"{room}/*.py")], ids=str)
def test_there_is_no_pickle_and_no_eval_anywhere(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {a.name.split(".")[0] for a in node.names} & {
                "pickle",
                "dill",
                "marshal",
                "shelve",
            }
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in {"pickle", "dill", "marshal", "shelve"}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"eval", "exec"}
        if isinstance(node, ast.Attribute):  # pyzmq's own way into pickle
            assert node.attr not in {"send_pyobj", "recv_pyobj"}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False


def test_help_answers_without_loading_what_only_a_run_needs():
    code = (
        "import sys; from operando.cli.main import app; "
        "print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'numba', 'pyFAI', 'bluesky', 'PySide6', 'scipy', 'h5py', 'zmq'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
