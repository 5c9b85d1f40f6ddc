"""Who may send what to the hub: results are read-only for those who look, requests for the rest.

A peer says itself who it is; where keys are needed (off this machine, always) only those who hold
one on the list can say anything at all. So this keeps a part from doing what is not its business;
it is no proof of identity.

Names are those of producers and members: "plan", "window", "reducer-0", ... What a name may send
or a kind may come from is unlimited where it does not stand here.
"""

from __future__ import annotations

ONLY_FROM: dict[str, frozenset[str]] = {
    "proposal": frozenset({"recommender", "replay"}),
    "decision": frozenset({"plan", "window", "person", "replay"}),
    "withdrawal": frozenset({"plan", "replay"}),
}
ONLY_SENDS: dict[str, frozenset[str]] = {
    "window": frozenset({"focus", "decision"}),
    "person": frozenset({"decision"}),
    "recommender": frozenset({"proposal"}),
}


def refusal(kind: str, sender: str) -> str:
    """Why sender may not send a message of this kind; "" where it may."""
    allowed = ONLY_FROM.get(kind)
    if allowed is not None and sender not in allowed:
        return f"a {kind} from {sender[:40]!r}: it may come from {', '.join(sorted(allowed))}"
    may = ONLY_SENDS.get(sender)
    if may is not None and kind not in may:
        return f"a {kind} from {sender!r}, which may send {', '.join(sorted(may))}"
    return ""
