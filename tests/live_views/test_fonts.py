"""The letters of figures, however matplotlib's list names the fonts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from matplotlib.font_manager import fontManager
from operando.live_views.figures import fonts


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch):
    """family() as a new process would find it; the list of fonts is put back afterwards."""
    monkeypatch.setattr(fontManager, "ttflist", list(fontManager.ttflist))
    fonts.family.cache_clear()
    fontManager._findfont_cached.cache_clear()
    yield fontManager
    fonts.family.cache_clear()
    fontManager._findfont_cached.cache_clear()


def test_a_list_that_names_fonts_by_another_path_is_read_all_the_same(anew, tmp_path) -> None:
    """As with an environment that is reached by a link."""
    folders = {str(Path(face.fname).parent) for face in anew.ttflist if face.name != fonts.LEAN}
    links = {}
    for number, folder in enumerate(sorted(folders)):
        links[folder] = tmp_path / str(number)
        links[folder].symlink_to(folder)
    anew.ttflist[:] = [
        dataclasses.replace(face, fname=str(links[folder] / Path(face.fname).name))
        for face in anew.ttflist
        if (folder := str(Path(face.fname).parent)) in links
    ]
    assert fonts.family() == fonts.LEAN
    lean = [face for face in anew.ttflist if face.name == fonts.LEAN]
    assert [Path(face.fname).name for face in lean] == ["regular.ttf", "bold.ttf"]
    assert all(Path(face.fname).is_file() for face in lean)


def test_a_font_that_no_list_names_is_taken_as_it_is(anew, monkeypatch) -> None:
    usual = next(face for face in anew.ttflist if face.name == "DejaVu Sans")
    monkeypatch.setattr(fonts, "findfont", lambda wanted: usual.fname)
    anew.ttflist[:] = [dataclasses.replace(usual, fname="/nowhere/font.ttf")]
    assert fonts.family() == "DejaVu Sans"
    assert all(face.name != fonts.LEAN for face in anew.ttflist)
