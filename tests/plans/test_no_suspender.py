"""No suspender is installed anywhere: they resume by themselves, which current must never do."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("cli", "consumers", "detectors", "live_views", "materials", "plans", "sim", "stream")
INSTALLS = {"install_suspender", "clear_suspenders", "suspend_wrapper", "suspend_decorator"}


def suspenders_in(source: str) -> list[str]:
    """What a module has to do with suspenders: names, imports, and messages of that command."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.Name):
            names = [node.id]
        elif isinstance(node, ast.Constant) and node.value in INSTALLS:
            names = [str(node.value)]  # Msg("install_suspender", ...), getattr(engine, ...)
        found += [
            f"line {getattr(node, 'lineno', 0)}: {name}"
            for name in names
            if name.startswith("bluesky.suspenders")
            or name.rpartition(".")[2] in {*INSTALLS, "suspenders"}
        ]
    return found


def test_nothing_in_the_package_installs_a_suspender() -> None:
    modules = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    assert {path.parent.name for path in modules} >= set(ROOMS) - {"materials"}
    found = {
        str(path.relative_to(ROOT)): names
        for path in modules
        if (names := suspenders_in(path.read_text(encoding="utf-8")))
    }
    assert not found, "suspenders resume by themselves: pause, and let a person resume"


@pytest.mark.parametrize(
    "source",
    [
        "from bluesky.suspenders import SuspendBoolHigh",
        "import bluesky.suspenders as s",
        "from bluesky import suspenders",
        "engine.install_suspender(beam)",
        "yield Msg('install_suspender', None, beam)",
        "getattr(engine, 'install_suspender')(beam)",
        "from bluesky.preprocessors import suspend_wrapper",
        "bpp.suspend_decorator(beam)",
    ],
)
def test_the_guard_sees_every_way_to_one(source: str) -> None:
    assert suspenders_in(source)


def test_the_guard_lets_words_about_them_be() -> None:
    assert not suspenders_in('"""No suspenders here: they resume by themselves."""\nx = 1\n')
