"""The letters of figures: the first usual sans-serif that is there, in a copy that embeds fast.

A PDF holds those letters that it uses. Choosing them takes a quarter of a second a font and figure,
nearly all of it in the tables of ligatures and alternates, which figures do not use; a copy of
the font without these takes a tenth of that. Shapes, widths and the font's own name stay.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from functools import cache
from pathlib import Path

from fontTools.ttLib import TTFont, TTLibError
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager

FAMILIES = ("Arial", "Helvetica", "Liberation Sans", "DejaVu Sans")
NOT_USED = ("GSUB", "GPOS", "GDEF", "MATH")
LEAN = "operando figures"  # the copies, as matplotlib finds them


@cache
def family() -> str:
    """The name of a family with a regular and a bold face, once and for all in this process."""
    there = {font.name for font in fontManager.ttflist}
    usual = next((name for name in FAMILIES if name in there), "DejaVu Sans")
    try:
        folder = Path(_folder().name)
        faces = [_lean_face(usual, weight, folder) for weight in ("regular", "bold")]
    except (OSError, TTLibError, LookupError):  # a full disk, another kind of font: as it is, then
        return usual
    fontManager.ttflist.extend(faces)
    return LEAN


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Where the copies stand; taken away when the process ends."""
    return tempfile.TemporaryDirectory(prefix="operando-fonts-")


def _lean_face(name: str, weight: str, folder: Path) -> FontEntry:
    found = findfont(FontProperties(family=name, weight=weight))
    with TTFont(found, lazy=True) as font:
        for table in NOT_USED:
            if table in font:
                del font[table]
        font.save(folder / f"{weight}.ttf")
    # the list may name it by another path to the same place
    known = next(
        (face for face in fontManager.ttflist if os.path.realpath(face.fname) == str(found)), None
    )
    if known is None:
        raise LookupError(f"{found} is not in the list of fonts")
    return dataclasses.replace(known, fname=str(folder / f"{weight}.ttf"), name=LEAN)
