"""Every comparison, side by side: `python -m benchmarks`; see docs/reference/benchmarks.md."""

from __future__ import annotations

import argparse
import datetime
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from . import pages, store, table
from .catalogue import ENTRIES, Entry, entry, first_line
from .machine import ONE_THREAD, this_machine
from .rows import Row
from .sections import Section, read_answer

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results"  # of full measurements only
PARTIAL = ROOT / ".benchmarks"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; the exit code."""
    chosen = _arguments(arguments)
    if chosen.list:
        for each in ENTRIES:
            print(f"{each.name:18} {first_line(each)}")
        return 0
    if chosen.readme:
        return _fill_pages(store.read(RESULTS))
    try:
        entries = [entry(name) for name in chosen.only] or list(ENTRIES)
    except KeyError as error:
        print(f"benchmarks: {error.args[0]}", file=sys.stderr)
        return 2
    complete = not (chosen.only or chosen.quick)
    if chosen.update and (chosen.quick or not chosen.only):
        print("benchmarks: --update takes the entries of --only, measured in full", file=sys.stderr)
        return 2
    out = chosen.out or (RESULTS if complete or chosen.update else PARTIAL)
    command = "python -m benchmarks" + "".join(f" {word}" for word in arguments or sys.argv[1:])
    known = store.read(out) if out == RESULTS or chosen.update else []
    machine, when, began = this_machine(), _now(), time.monotonic()
    measured: list[store.Measured] = []
    for number, each in enumerate(entries, 1):
        print(
            f"[{number}/{len(entries)}, {time.monotonic() - began:.0f} s] {each.name}", flush=True
        )
        rows, sections = run_apart(each, chosen.quick)
        measured.append(store.Measured(each.name, when, command, machine, rows, sections))
        everything = store.merged(known, measured, [e.name for e in ENTRIES])
        store.write(out, everything)  # after each: a run that is ended early has measured some
    print(f"\n{table.markdown(everything)}\nwritten to {out}", flush=True)
    return _fill_pages(everything) if out == RESULTS else 0


def _fill_pages(measured: Sequence[store.Measured]) -> int:
    try:
        pages.fill(ROOT, measured)
    except (OSError, pages.NoMarks) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(f"{' and '.join(pages.PAGES)} say what is in {RESULTS}", flush=True)
    return 0


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="minutes")


def run_apart(each: Entry, quick: bool) -> tuple[list[Row], list[Section]]:
    """What a case finds in a process of its own; what goes wrong there becomes a row."""
    with tempfile.TemporaryDirectory(prefix="operando-benchmark-") as folder:
        to = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "benchmarks.child", each.name, "--to", str(to)]
        threads = {name: str(each.threads) for name in ONE_THREAD}
        try:
            done = subprocess.run(
                command + ["--quick"] * quick,
                cwd=ROOT,
                env={**os.environ, **threads},
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=each.timeout_s,
                check=False,
            )
            failed = "" if done.returncode == 0 else last_words(done.stderr, done.returncode)
        except subprocess.TimeoutExpired:
            failed = f"ended after {each.timeout_s:.0f} s"
        rows, sections = read_answer(to)
    if failed:
        print(f"  {each.name}: {failed}", flush=True)
        rows.append(Row(each.name, "", note=f"failed: {failed}"))
    return rows, sections


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these")
    parser.add_argument(
        "--update",
        action="store_true",
        help="put what --only names into the stored results, with its own date",
    )
    parser.add_argument(
        "--readme",
        action="store_true",
        help="write the stored results into README and docs, and run nothing",
    )
    parser.add_argument("--quick", action="store_true", help="few repetitions, smaller peers' work")
    parser.add_argument("--list", action="store_true", help="what there is, and nothing more")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for the results; else benchmarks/results, .benchmarks where not complete",
    )
    return parser.parse_args(arguments)


def last_words(text: str, code: int) -> str:
    """What a process that failed said of it: its exception's first line, or its last line."""
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).strip().splitlines()
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt)\b", line)]
    chosen = (raised or lines)[-1:]
    return chosen[0][:200] if chosen else f"exit {code}"


if __name__ == "__main__":
    sys.exit(main())
