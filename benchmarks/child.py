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
from .rows import Row, write_rows


def main() -> None:
    """Run the case and write its rows after each comparison, so that a crash loses only one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    wanted = entry(chosen.name)
    rows: list[Row] = []
    for comparison in case_of(wanted)(chosen.quick):
        rows += [_with_pools(row, wanted.threads) for row in measure(comparison, _say)]
        write_rows(chosen.to, rows)


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
