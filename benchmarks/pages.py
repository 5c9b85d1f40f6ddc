"""The stored results in the pages that quote them: README.md and docs/reference/benchmarks.md.

Between a page's marks stands nothing but what `python -m benchmarks --readme` puts there, and a
test compares them with benchmarks/results/latest.json: no number is typed in by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from .store import Measured, rows_of
from .table import every_row, goals, provenance

BEGIN = "<!-- begin: written by python -m benchmarks --readme -->"
END = "<!-- end -->"


class NoMarks(ValueError):
    """A page without a place for the results; the message names it."""


def in_readme(measured: Sequence[Measured]) -> str:
    """The goals alone."""
    return "\n".join([*provenance(measured), "", *goals(rows_of(measured))])


def in_reference(measured: Sequence[Measured]) -> str:
    """Every row, and where the chain's time goes."""
    lines = [*provenance(measured), "", *every_row(rows_of(measured))]
    for section in (section for each in measured for section in each.sections):
        lines += ["", f"**{section.title}.** {section.text}"]
    return "\n".join(lines)


PAGES: dict[str, Callable[[Sequence[Measured]], str]] = {
    "README.md": in_readme,
    "docs/reference/benchmarks.md": in_reference,
}


def between(page: str, name: str) -> tuple[str, str, str]:
    """What stands before, between and after the marks of a page. Raises NoMarks."""
    before, begin, rest = page.partition(BEGIN + "\n")
    inside, end, after = rest.partition(END)
    if not begin or not end:
        raise NoMarks(f"{name}: no place for results, {BEGIN!r} to {END!r} is needed")
    return before, inside, after


def fill(root: Path, measured: Sequence[Measured]) -> None:
    """Put the results into every page under root. Raises NoMarks, OSError."""
    for name, text in PAGES.items():
        path = root / name
        before, _, after = between(path.read_text(encoding="utf-8"), name)
        new = f"{before}{BEGIN}\n{text(measured)}\n{END}{after}"
        path.write_text(new, encoding="utf-8")
