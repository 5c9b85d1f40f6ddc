"""Every comparison, side by side: `python -m benchmarks`; see docs/reference/benchmarks.md."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from . import figure, table
from .catalogue import ENTRIES, Entry, entry, first_line
from .machine import ONE_THREAD, Machine, this_machine
from .rows import Row, plain, to_json
from .sections import Section, read_answer

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).resolve().parent / "results"  # of complete runs only
PARTIAL = ROOT / ".benchmarks"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; the exit code."""
    chosen = _arguments(arguments)
    if chosen.list:
        for each in ENTRIES:
            print(f"{each.name:18} {first_line(each)}")
        return 0
    try:
        entries = [entry(name) for name in chosen.only] or list(ENTRIES)
    except KeyError as error:
        print(f"benchmarks: {error.args[0]}", file=sys.stderr)
        return 2
    machine, began = this_machine(), time.monotonic()
    rows: list[Row] = []
    sections: list[Section] = []
    for number, each in enumerate(entries, 1):
        print(
            f"[{number}/{len(entries)}, {time.monotonic() - began:.0f} s] {each.name}", flush=True
        )
        more_rows, more_sections = run_apart(each, chosen.quick)
        rows += more_rows
        sections += more_sections
    when = datetime.datetime.now().astimezone().isoformat(timespec="minutes")
    command = "python -m benchmarks" + "".join(f" {word}" for word in arguments or sys.argv[1:])
    out = chosen.out or (PARTIAL if chosen.only or chosen.quick else RESULTS)
    page = table.markdown(rows, sections, machine, when, command)
    write_results(out, rows, sections, machine, when, command)
    print(f"\n{page}\nwritten to {out}", flush=True)
    return 0


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


def write_results(
    folder: Path,
    rows: Sequence[Row],
    sections: Sequence[Section],
    machine: Machine,
    when: str,
    command: str,
) -> None:
    """latest.json, latest.md and latest.png in folder."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "when": when,
        "command": command,
        "machine": dataclasses.asdict(machine),
        "rows": to_json(rows),
        "sections": plain([dataclasses.asdict(section) for section in sections]),
    }
    (folder / "latest.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    page = table.markdown(rows, sections, machine, when, command)
    (folder / "latest.md").write_text(page, encoding="utf-8")
    try:
        figure.draw(rows, folder / "latest.png", f"{machine.processor}, {when}")
    except ImportError:
        print("no figure: matplotlib is not installed", flush=True)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these")
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
