import pytest
from hypothesis import given
from hypothesis import strategies as st
from operando.stream.ledger import LedgerError, ScanLedger, withdrawal_of
from operando.stream.messages import ScanStop, Withdrawal
from operando.stream.packing import pack, unpack
from operando.stream.reasons import MAX_REASONS

GROUPS = ("record", "process")


def ledger(frames=4):
    return ScanLedger("run", "scan", 1, frames, GROUPS)


def finish(book, index):
    for group in GROUPS:
        book.done(group, index)


def test_account_closes_when_every_frame_is_done_in_every_group():
    book = ledger()
    for index in (2, 0, 3, 1):
        assert book.receive(index)
    book.stop(ScanStop("scan", 4, "complete"))
    for index in range(4):
        assert not book.closed
        finish(book, index)
    account = book.account()
    assert account.closed
    assert (account.announced, account.received, account.lost) == (4, 4, {})
    assert [(g.name, g.done, g.failed) for g in account.groups] == [
        ("record", 4, {}),
        ("process", 4, {}),
    ]


def test_account_does_not_close_before_the_source_has_stopped():
    book = ledger(1)
    book.receive(0)
    finish(book, 0)
    assert not book.account().closed


def test_the_same_frame_again_is_a_duplicate_and_changes_nothing_else():
    book = ledger()
    assert book.receive(1)
    assert not book.receive(1)
    assert (book.account().received, book.account().duplicates) == (1, 1)


def test_frames_the_source_names_as_lost_keep_its_reason_and_silent_ones_get_one():
    book = ledger()
    book.receive(0)
    finish(book, 0)
    book.stop(ScanStop("scan", 1, "aborted", {2: "damaged"}))
    lost = book.account().lost
    assert set(lost) == {1, 2, 3}
    assert lost[2] == "damaged"
    assert "aborted" in lost[1]
    assert book.closed


def test_what_the_source_has_dropped_stands_in_the_account():
    book = ledger(1)
    assert book.account().dropped == ()
    book.stop(ScanStop("scan", 0, "complete", {}, ("2 x image that came again",)))
    assert book.account().dropped == ("2 x image that came again",)


def test_a_frame_both_lost_and_later_received_is_received():
    book = ledger(2)
    book.receive(0)
    book.stop(ScanStop("scan", 1, "complete", {0: "wrongly named", 1: "late"}))
    assert set(book.account().lost) == {1}
    book.receive(1)
    assert book.account().lost == {}
    assert book.account().received == 2


def test_a_failure_is_named_and_the_last_word_counts():
    book = ledger(1)
    book.receive(0)
    book.done("process", 0)
    book.fail("process", 0, "NaN")
    assert book.account().group("process").failed == {0: "NaN"}
    assert book.account().group("process").done == 0
    book.done("process", 0)
    assert book.account().group("process").failed == {}


def test_reasons_that_name_their_frame_are_one_reason_and_an_account_of_many_can_be_read():
    book = ledger(20_000)
    for index in range(20_000):
        book.receive(index)
        book.fail("record", index, f"frame {index} of scan scan: not begun here")
        book.fail("process", index, f"this is what is wrong with {index}: " + "x" * 1000)
    account = book.account()
    assert set(account.group("record").failed.values()) == {"not begun here"}
    assert len(account.group("process").failed) == 20_000
    assert len(set(account.group("process").failed.values())) <= MAX_REASONS
    assert unpack(pack(account)) == account


@pytest.mark.parametrize("index", [-1, 4, 10**12])
def test_a_frame_that_was_not_announced_is_refused(index):
    with pytest.raises(LedgerError, match="announced 4"):
        ledger().receive(index)


def test_words_on_frames_that_never_came_are_refused():
    with pytest.raises(LedgerError, match="has not come"):
        ledger().done("record", 1)
    book = ledger()
    book.receive(1)
    with pytest.raises(LedgerError, match="group 'x'"):
        book.fail("x", 1, "why")


@given(
    st.lists(
        st.tuples(st.sampled_from(["receive", "done", "fail", "stop"]), st.integers(0, 5)),
        max_size=60,
    )
)
def test_the_books_balance_after_any_history(history):
    book = ledger(6)
    for verb, index in history:
        if verb == "receive":
            book.receive(index)
        elif verb == "stop":
            book.stop(ScanStop("scan", 0, "complete"))
        elif book.has(index) and verb == "done":
            book.done("record", index)
        elif book.has(index):
            book.fail("record", index, "why")
        account = book.account()
        record = account.group("record")
        assert account.received + len(account.lost) <= account.announced
        assert not book.stopped or account.received + len(account.lost) == account.announced
        assert record.done + len(record.failed) + book.pending("record") == account.received


def cut(book, first=2):
    book.withdraw(Withdrawal("scan", first, "good enough"))


@pytest.mark.parametrize("stop_first", [False, True])
def test_frames_that_were_withdrawn_are_neither_lost_nor_missing(stop_first):
    book = ledger(5)
    for index in (0, 1):
        book.receive(index)
        finish(book, index)
    stop = ScanStop("scan", 2, "complete", dict.fromkeys((2, 3, 4), "never arrived"))
    if stop_first:
        book.stop(stop)
        cut(book)
    else:
        cut(book)
        book.stop(stop)
    account = book.account()
    assert account.closed
    assert (account.announced, account.received, account.lost) == (2, 2, {})
    assert (account.withdrawn, account.why_withdrawn) == (3, "good enough")
    assert book.without_withdrawn(stop) == ScanStop("scan", 2, "complete", {})
    assert withdrawal_of(account) == Withdrawal("scan", 2, "good enough")


def test_what_is_lost_before_the_withdrawn_part_stays_lost():
    book = ledger(5)
    book.receive(0)
    cut(book, 3)
    book.stop(ScanStop("scan", 1, "complete", {1: "damaged"}))
    account = book.account()
    assert account.announced == account.received + len(account.lost) == 3
    assert set(account.lost) == {1, 2}
    assert account.lost[1] == "damaged"


def test_a_withdrawn_frame_that_comes_all_the_same_is_received():
    book = ledger(5)
    cut(book, 4)
    book.receive(4)
    book.stop(ScanStop("scan", 1, "complete", {}))
    account = book.account()
    assert (account.announced, account.withdrawn, len(account.lost)) == (5, 0, 4)


@pytest.mark.parametrize("first", [0, 6, -1])
def test_a_withdrawal_that_leaves_nothing_or_takes_nothing_is_refused(first):
    with pytest.raises(LedgerError, match="withdrawn"):
        ledger(5).withdraw(Withdrawal("scan", first, "why"))


@given(
    total=st.integers(1, 12),
    first=st.integers(1, 12),
    came=st.sets(st.integers(0, 11)),
    order=st.permutations(["withdraw", "stop"]),
)
def test_the_account_closes_whatever_comes_in_whichever_order(total, first, came, order):
    book = ledger(total)
    came = {i for i in came if i < total}
    for index in came:
        book.receive(index)
        finish(book, index)
    for step in order:
        if step == "stop":
            book.stop(ScanStop("scan", len(came), "complete", {}))
        elif first <= total:
            book.withdraw(Withdrawal("scan", first, "why"))
    account = book.account()
    assert account.closed
    assert account.announced == account.received + len(account.lost)
    assert account.announced + account.withdrawn == total
