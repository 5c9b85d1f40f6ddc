"""The tutorial, line by line: what it tells a newcomer to type works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from whole_run import environment

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "tutorials" / "first-dry-run.md"

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(420)]


def blocks(text: str) -> list[tuple[str, str]]:
    return re.findall(r"```(sh|python)\n(.*?)```", text, re.DOTALL)


def test_every_command_of_the_tutorial_works(tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = ""
    found = blocks(PAGE.read_text())
    assert [kind for kind, _ in found].count("sh") >= 4
    for kind, code in found:
        arguments = ["sh", "-ec", code] if kind == "sh" else [sys.executable, "-c", code]
        done = subprocess.run(
            arguments, cwd=tmp_path, env={**environment(), "PATH": path}, text=True,
            capture_output=True, timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        said += done.stdout
    assert "account: announced 1008 = recorded 1008 + lost 0" in said
    assert "('y', 'x') (21, 21) Å complete: 100%" in said
    assert "final results are the same, bit for bit" in said
    assert "ready to run" in said
    assert (tmp_path / "figures" / "evolution.png").is_file()


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")), ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
