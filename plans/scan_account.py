"""The account of a scan in its documents: an event of stream "account", and its stop document.

The hub keeps the account; it is waited for a little, because the last frames are still on their
way to the record and into the results when the detector has sent them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

import orjson
from bluesky import plan_stubs as bps
from bluesky.utils import Msg

from ..stream.account_words import account_reasons, account_sums, by_reason
from ..stream.messages import Account

Plan = Generator[Msg, Any, Any]
AccountOf = Callable[[str], Account | None]

CLOSING_S = 10.0  # longest wait for the account of a whole scan to close
_POLL_S = 0.1
_MAX_REASON = 2000  # characters of a stop document's reason; the event holds all of it


def nobody_counts(scan: str) -> None:
    """No hub, no account."""


def closed_account(
    scan: str,
    account_of: AccountOf,
    longest_s: float = CLOSING_S,
    waiting: Callable[[], object] = lambda: None,
) -> Plan:
    """The account of the scan with this uid when it has closed, or as it is after longest_s.

    None where nobody keeps one. waiting: called while it is waited for: nobody shall seem silent
    """
    deadline = time.monotonic() + longest_s
    while (account := account_of(scan)) is not None and not account.closed:
        if time.monotonic() > deadline:
            break
        waiting()
        yield from bps.sleep(_POLL_S)
    return account


def write_account(account: Account | None) -> Plan:
    """Write the account as an event of the open run; the words for its stop document."""
    if account is None:
        return ""
    yield from bps.trigger_and_read([_Reading(account)], name="account")
    words = "; ".join([account_sums(account), *account_reasons(account)])
    return words if len(words) <= _MAX_REASON else words[: _MAX_REASON - 1] + "…"


class _Reading:
    """An account as something that Bluesky can read."""

    name = "account"
    parent = None

    def __init__(self, account: Account) -> None:
        process, record = account.group("process"), account.group("record")
        reasons = {
            "lost": by_reason(account.lost),
            "not_recorded": by_reason(record.failed),
            "failed": by_reason(process.failed),
        }
        pending = account.received - process.done - len(process.failed)
        self._values: dict[str, int | bool | str] = {
            "account_announced": account.announced,
            "account_received": account.received,
            "account_duplicates": account.duplicates,
            "account_recorded": record.done,
            "account_lost": len(account.lost) + len(record.failed),
            "account_in_results": process.done,
            "account_failed": len(process.failed),
            "account_pending": max(0, pending),
            "account_closed": account.closed,
            "account_reasons": orjson.dumps(reasons).decode(),
        }

    def read(self) -> dict[str, Any]:
        """Counts of frames; and the reasons, each with its frames as ranges, as JSON."""
        now = time.time()
        return {key: {"value": value, "timestamp": now} for key, value in self._values.items()}

    def describe(self) -> dict[str, Any]:
        """Numbers, a yes or no, and a text."""
        kinds = {int: "integer", bool: "boolean", str: "string"}
        return {
            key: {"source": "the hub's account", "dtype": kinds[type(value)], "shape": []}
            for key, value in self._values.items()
        }

    def read_configuration(self) -> dict[str, Any]:
        """None."""
        return {}

    def describe_configuration(self) -> dict[str, Any]:
        """None."""
        return {}
