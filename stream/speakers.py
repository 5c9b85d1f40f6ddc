"""Who may say what to the hub: the list of what is allowed, by role.

A peer's role is the one that its key was made for (see `operando keys --may`), where keys are in
use, and the one that its name says, "window" or "recommender", everywhere: without keys the list
guards against mistakes, with keys against others. A member of a group says what its work makes and
nothing else. None of these messages starts, stops or configures a part or the cell.
"""

from __future__ import annotations

PART = "part"  # of a run: receiver, plan, recorder, absorber, reducers, feed
_STATUS = frozenset({"status"})

MAY_PUT: dict[str, frozenset[str]] = {
    PART: frozenset(
        {
            "scan_start",
            "frame",
            "scan_stop",
            "positions",
            "samples",
            "document",
            "reduction",
            "result",
            "focus",
            "decision",
        }
    )
    | _STATUS,
    "window": frozenset({"focus", "decision"}) | _STATUS,
    "recommender": frozenset({"proposal", "result"}) | _STATUS,
}
MEMBER_PUTS: dict[str, frozenset[str]] = {
    "reduce": frozenset({"reduction"}) | _STATUS,
    "absorb": frozenset({"result"}) | _STATUS,
    "all": _STATUS,
}
_ANY_MEMBER = frozenset().union(*MEMBER_PUTS.values())


def role_of(identity: bytes) -> str:
    """The role that a peer's own name says."""
    name = identity.partition(b"/")[0].decode("utf-8", "replace")
    return name if name in MAY_PUT else PART


def why_not_put(kind: str, identity: bytes, key_role: str, group: str, member: str) -> str:
    """Why this peer may not put a message of this kind; "" where it may.

    key_role: for which its key was made; PART where there are no keys
    group: in whose name it is put, "" for none; member: its role there, "" where it has not joined
    """
    for role in (key_role, role_of(identity)):
        if kind not in MAY_PUT.get(role, frozenset()):
            return f"a {kind} is not for a {role} to put"
    if group and kind not in MEMBER_PUTS.get(member, _ANY_MEMBER):
        return f"a {kind} is not for a member of {group} to put"
    return ""


def why_not_join(identity: bytes, key_role: str) -> str:
    """Why this peer may not be a member of a group; "" where it may."""
    for role in (key_role, role_of(identity)):
        if role != PART:
            return f"a {role} takes no frames"
    return ""
