"""The runbook quotes what the program says: every quoted message stands in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("cli", "plans", "stream", "live_views", "detectors", "consumers")
QUOTED = re.compile(r'"([^"]+)"|\*([^*]+)\*')
PAGE = ROOT / "docs/how-to/night-shift.md"
SHORT = 6  # characters; what is left of a quotation around a number says nothing


def quotations() -> list[str]:
    """The symptoms' quoted words, one a quotation."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    symptoms = [row.split(" | ")[0] for row in rows]
    return [a or b for symptom in symptoms for a, b in QUOTED.findall(symptom)]


def fragments(words: str) -> list[str]:
    """The parts of a quotation that stand in the code as they are: between numbers and names."""
    pieces = re.split(r"…|\d+|: |\(.*?\)|\bN\b", words)
    return [piece.strip() for piece in pieces if len(piece.strip()) >= SHORT]


@pytest.fixture(scope="module")
def source() -> str:
    texts = [path.read_text() for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    # strings that are written over two lines are one string
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(texts))


def test_the_runbook_quotes_something():
    assert len(quotations()) > 10


@pytest.mark.parametrize("words", quotations())
def test_what_the_runbook_quotes_is_said_by_the_program(words, source):
    for piece in fragments(words):
        assert piece.lower() in source.lower(), piece
