"""The gallery in the documentation keeps to what the program can draw."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/gallery.md").read_text(encoding="utf-8")


def test_every_run_of_the_gallery_is_an_example_that_is_there():
    runs = dict(re.findall(r"operando run (examples/\w+\.yaml) --offscreen --out (runs/\w+)", TEXT))
    assert len(runs) == 4
    assert all((ROOT / example).is_file() for example in runs)
    assert set(re.findall(r"operando report (runs/\w+)/run\.nxs", TEXT)) == set(runs.values())


@pytest.mark.parametrize("name", re.findall(r"\]\((images/[^)]*)\)", TEXT))
def test_every_picture_is_there_and_small(name):
    assert 5_000 < (ROOT / "docs" / name).stat().st_size < 300_000
