"""What the hub says of itself twice a second: how full it is, who is there, what waits."""

from __future__ import annotations

from .messages import Scalar
from .router import Router
from .spool import Spool


def hub_values(
    router: Router, spool: Spool | None, window_bytes: int, withheld: int, held: int
) -> dict[str, Scalar]:
    """Values of the hub's Status, but for its own counters.

    withheld: puts taken whose answer waits; held: puts that wait for room in the spool
    fill: share of the room for frames that is taken, of the spool where there is one, else of the
        window; 1 while frames are held back
    lag_frames, lag_s: frames that some group has not settled, and the age of the oldest
    """
    waiting, lag_s = router.waiting()
    members = [f"{g.name}/{p.name}" for g in router.groups.values() for p in g.peers.values()]
    values: dict[str, Scalar] = {
        "outstanding": router.outstanding() + withheld + held,
        "window_bytes": window_bytes,
        "queued_bytes": router.queued_bytes,
        "members": ", ".join(sorted(members)),
        "withheld": withheld + held,
        "lag_frames": waiting,
        "lag_s": round(lag_s, 2),
        "redelivered": sum(g.redelivered for g in router.groups.values()),
    }
    if spool is None:
        values["fill"] = round(router.queued_bytes / window_bytes, 4)
    else:
        values |= spool.status()
        values["fill"] = 1.0 if held else values["spool_fill"]
    return values
