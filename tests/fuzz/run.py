"""Fuzz every decoder, a live receiver and a live hub: python tests/fuzz/run.py --messages 1000000

Messages go in chunks, each in a process of its own, so that a crash is seen and named. Everything
follows from the seed: `--seed S --chunk N` runs one chunk again. The exit code is 0 where every
message was accepted and equal, or rejected by type.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

os.environ["OMP_NUM_THREADS"] = "1"  # OpenMP's threads do not survive the fork below
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

CHUNK = 25_000
LIVE_SHARE = 0.1  # of the messages go over sockets, half to a receiver, half to a hub
MEMORY_BYTES = 4 << 30  # of a chunk's address space: whoever allocates by what bytes say is found
CHUNK_TIMEOUT_S = 1800.0
HANGS_S = 20.0
SLOW_S = 5.0  # of processor time for one message


def isolated(target: Callable[[Random], str], where: str) -> str:
    """A target's outcome, in a process of its own: HDF5 may hang or die of a damaged file.

    Nobody can interrupt it from inside, so that is counted as an outcome, not taken for ours.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = target(Random(where))
        except BaseException:
            told = "broken: " + traceback.format_exc()[-4000:]
        os.write(writer, told.encode(errors="replace"))
        os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], HANGS_S)
    told = os.read(reader, 1 << 16).decode() if ready else "stopped: the HDF5 library hangs"
    os.close(reader)
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if told.startswith("broken"):
        raise AssertionError(told)
    return told or "stopped: the HDF5 library died"


def run_chunk(seed: int, chunk: int, count: int) -> dict[str, dict[str, int]]:
    """Outcomes of one chunk by target. Raises Broken, or whatever a decoder let through."""
    import fuzz_live
    from fuzz_targets import TARGETS, recorded_run

    recorded_run()  # before any fork

    found: dict[str, Counter[str]] = {}
    live = round(count * LIVE_SHARE / 2)
    rest = count - 2 * live
    for name, (target, share) in TARGETS.items():
        outcomes = found.setdefault(name, Counter())
        for number in range(max(1, round(rest * share))):
            where = f"{seed}/{chunk}/{name}/{number}"
            began = time.thread_time()
            try:
                if name == "run file":
                    outcomes[isolated(target, where)] += 1
                else:
                    outcomes[target(Random(where))] += 1
            except BaseException:
                print(f"case {where}", file=sys.stderr)
                raise
            spent = time.thread_time() - began
            if spent > SLOW_S and number:  # the first one pays for the imports
                raise TimeoutError(f"case {where} took {spent:.1f} s")
    if live:
        found["live receiver"] = fuzz_live.receiver(Random(f"{seed}/{chunk}/receiver"), live)
        found["live hub"] = fuzz_live.hub(Random(f"{seed}/{chunk}/hub"), live)
        for name in ("live receiver", "live hub"):
            found[name]["sent"] = live
    return {name: dict(counter) for name, counter in found.items()}


def child(seed: int, chunk: int, count: int) -> None:
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    logging.getLogger("operando").addHandler(logging.NullHandler())
    logging.getLogger("operando").propagate = False
    json.dump(run_chunk(seed, chunk, count), sys.stdout)


def main() -> int:
    """Run what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chunk", type=int, default=None, help="run only this chunk, here")
    parser.add_argument("--first", type=int, default=0, help="the chunk to begin with")
    options = parser.parse_args()
    if options.chunk is not None:
        child(options.seed, options.chunk, min(CHUNK, options.messages))
        return 0
    total: dict[str, Counter[str]] = {}
    began = time.monotonic()
    sent = failed = 0
    chunk = options.first
    while sent < options.messages:
        count = min(CHUNK, options.messages - sent)
        done = subprocess.run(
            [sys.executable, __file__, "--seed", str(options.seed), "--chunk", str(chunk),
             "--messages", str(count)],
            capture_output=True, text=True, timeout=CHUNK_TIMEOUT_S, check=False,
        )  # fmt: skip
        if done.returncode:
            failed += 1
            print(f"chunk {chunk} of seed {options.seed} ended with {done.returncode}:")
            print(done.stderr[-3000:], flush=True)
        else:
            for name, outcomes in json.loads(done.stdout).items():
                total.setdefault(name, Counter()).update(outcomes)
        sent, chunk = sent + count, chunk + 1
        print(f"{sent} messages, {time.monotonic() - began:.0f} s, {failed} failed", flush=True)
    for name, outcomes in total.items():
        shown = ", ".join(f"{k} {n}" for k, n in sorted(outcomes.items(), key=lambda kn: -kn[1]))
        print(f"{name}: {shown}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
