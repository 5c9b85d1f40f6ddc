"""The comparisons there are, by name: the one table to extend for a new one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

from .harness import Comparison
from .rows import Row
from .sections import Section

Case = Callable[[bool], Iterator[Comparison | Row | Section]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A case, run in a process of its own.

    place: module of this folder and function in it; its argument says whether to be quick
    timeout_s: after which it is ended and reported so
    threads: of the libraries' pools; the chain's own processes set theirs
    """

    name: str
    place: str
    timeout_s: float = 600.0
    threads: int = 1


ENTRIES = (
    Entry("mean", "bench_reduction.mean"),
    Entry("split", "bench_reduction.split"),
    Entry("trimmed", "bench_reduction.trimmed"),
    Entry("fast-trimmed", "bench_reduction.fast_trimmed"),
    Entry("two-threads", "bench_reduction.two_threads"),
    Entry("decode", "bench_decode.decode"),
    Entry("decode-and-trim", "bench_decode.decode_and_trim"),
    Entry("fbp", "bench_fbp.streaming", 1200.0),
    Entry("fbp-one-channel", "bench_fbp.one_channel"),
    Entry("peak-fit", "bench_fit.peak_fit"),
    Entry("pattern-fit", "bench_pattern.pattern_fit"),
    Entry("channel", "bench_channel.channel", 900.0),
    Entry("libertem", "bench_libertem.libertem"),
    Entry("chain", "chain.chain", 1500.0),
)


def entry(name: str) -> Entry:
    """The entry called name. Raises KeyError naming those there are."""
    for each in ENTRIES:
        if each.name == name:
            return each
    raise KeyError(f"no comparison {name!r}, there are {', '.join(e.name for e in ENTRIES)}")


def case_of(each: Entry) -> Case:
    """The function of an entry; its module is imported here, in the process that runs it."""
    module, function = each.place.split(".")
    return cast(Case, getattr(importlib.import_module(f".{module}", __package__), function))


def first_line(each: Entry) -> str:
    """What the entry's function says about itself."""
    return (case_of(each).__doc__ or "").splitlines()[0]
