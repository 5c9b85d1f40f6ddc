"""Kill parts of a run by hand: python tests/faults/run.py --kills 1000 --seed 1

Scans of 64 small frames, with hub, recorder, absorber and two reducers as processes; a kill only
counts where its victim was at work. The exit code is 0 where every promise was kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fault_lab import Lab, storm
from operando.stream.members import Producer


def main() -> int:
    """Do what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", flush=True)

    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        lab = Lab(Path(folder) / "r")
        try:
            lab.until_ready()
            with Producer(lab.items, "source", window=8) as producer:
                found = storm(lab, producer, options.kills, options.seed, tell)
        finally:
            lab.end()
    by_part = ", ".join(f"{part} {count}" for part, count in sorted(found.kills.items()))
    print(f"kills: {sum(found.kills.values())} ({by_part}) in {len(found.scans)} scans")
    print(f"frames: {found.frames} in the file, {found.lost} lost")
    print(f"final results: {found.same} of {found.results} the same, bit for bit")
    for line in found.problems:
        print(f"BROKEN: {line}")
    return 1 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
