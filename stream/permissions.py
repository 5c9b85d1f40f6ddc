"""Who may send what to the hub: results are read-only for those who look, requests for the rest.

A peer says itself who it is, so its name keeps a part from doing what is not its business, and is
no proof of identity. Where keys are needed (off this machine, always) only those who hold one on
the list can say anything at all, and a key may be made for a role (`operando keys --may window`):
then it is good for that role alone, whatever name its holder gives. A member of a group sends what
its work makes, and nothing else. A status is about its sender: with a key for a role, about that
role only, and from nobody about the hub. None of these messages starts, stops or configures a part
or the cell.

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
PART = "part"  # the role of a key that is good for every part of a run
ROLES = (PART, *ONLY_SENDS)
MEMBER_SENDS: dict[str, frozenset[str]] = {
    "reduce": frozenset({"reduction", "status"}),
    "absorb": frozenset({"result", "status"}),
    "all": frozenset({"status"}),
}
_ANY_MEMBER = frozenset[str]().union(*MEMBER_SENDS.values())


def refusal(kind: str, sender: str) -> str:
    """Why sender may not send a message of this kind; "" where it may."""
    allowed = ONLY_FROM.get(kind)
    if allowed is not None and sender not in allowed:
        return f"a {kind} from {sender[:40]!r}: it may come from {', '.join(sorted(allowed))}"
    may = ONLY_SENDS.get(sender)
    if may is not None and kind not in may:
        return f"a {kind} from {sender!r}, which may send {', '.join(sorted(may))}"
    return ""


def why_not_put(
    kind: str, identity: bytes, key_role: str, group: str, member: str, component: str = ""
) -> str:
    """Why this peer may not put a message of this kind; "" where it may.

    key_role: for which its key was made; PART where there are no keys
    group: in whose name it is put, "" for none; member: its role there, "" where it has not joined
    component: of whom a status is: the plan goes by the hub's, people by everybody's
    """
    if kind == "status" and component == "hub":
        return "a status of the hub, which says it itself"
    if kind == "status" and key_role != PART and component != key_role:
        return f"a status of {component[:40]!r} with a key that is good for {key_role or 'nothing'}"
    if key_role != PART and kind not in {*ONLY_SENDS.get(key_role, ()), "status"}:
        return f"a {kind} with a key that is good for {key_role or 'nothing'}"
    if group and kind not in MEMBER_SENDS.get(member, _ANY_MEMBER):
        return f"a {kind} is not for a member of {group} to send"
    return refusal(kind, identity.partition(b"/")[0].decode(errors="replace"))


def why_not_join(key_role: str) -> str:
    """Why the holder of such a key may not be a member of a group; "" where it may."""
    return "" if key_role == PART else f"a key that is good for {key_role or 'nothing'}"
