"""One case in a process of its own: `python -m benchmarks.child NAME --to FILE`.

The libraries read their numbers of threads when they are loaded, so the parent sets them in the
environment of this process. Afterwards the pools are looked at; a row says where one had more.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from .catalogue import case_of, entry
from .harness import measure
from .machine import thread_pools
from .rows import Row
from .sections import Section, write_answer


def main() -> None:
    """Run the case and write what it finds after each comparison: a crash then loses only one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    wanted = entry(chosen.name)
    rows: list[Row] = []
    sections: list[Section] = []
    for found in case_of(wanted)(chosen.quick):
        if isinstance(found, Section):
            sections.append(found)
        elif isinstance(found, Row):
            rows.append(found)
        else:
            rows += [_with_pools(row, wanted.threads) for row in measure(found, _say)]
        write_answer(chosen.to, rows, sections)


def _say(line: str) -> None:
    print(line, flush=True)


def _with_pools(row: Row, threads: int) -> Row:
    wide = {name: number for name, number in thread_pools().items() if number > threads}
    if not wide:
        return row
    said = ", ".join(f"{name} {number}" for name, number in wide.items())
    note = "; ".join(n for n in (row.note, f"pools with more threads than {threads}: {said}") if n)
    return dataclasses.replace(row, note=note)


if __name__ == "__main__":
    main()
