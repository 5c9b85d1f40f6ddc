"""A request for another scan in words: what is asked for, and what became of it."""

from __future__ import annotations

import math

from ..stream.messages import Proposal
from .request_queue import Request
from .words import duration

KINDS = {"stop": "end the scan", "roi": "finer scan of a region", "exposure": "longer exposure"}


def asked_for(proposal: Proposal) -> str:
    """What a proposal wants, where, and what it costs."""
    wants = [KINDS.get(proposal.kind, proposal.kind)]
    if all(math.isfinite(v) for v in proposal.region):
        x, y, width = proposal.region
        wants.append(f"{width:.0f} µm at x {x:.0f}, y {y:.0f} µm".replace("-", "−"))
    if math.isfinite(proposal.exposure_s):
        wants.append(f"{1e3 * proposal.exposure_s:.3g} ms a frame")
    if math.isfinite(proposal.cost_s):
        does = "costs" if proposal.cost_s >= 0 else "saves"
        wants.append(f"{does} {duration(abs(proposal.cost_s))}")
    return ", ".join(wants)


def outcome(request: Request) -> str:
    """Every word on a request, the oldest first; nobody said anything where there is none."""
    said = [
        f"{word.verdict} by {word.by}" + (f": {word.reason}" if word.reason else "")
        for word in request.words
    ]
    return "; ".join(said) or "nobody said anything"
