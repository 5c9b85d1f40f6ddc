"""The findings of finished scans: in order, bounded, and on disk bit for bit or not at all."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
import pytest
from operando.consumers.earlier_scans import RUNS_KEPT, SCANS_KEPT, EarlierScans
from operando.consumers.field import Field
from operando.consumers.findings import Findings
from operando.consumers.tracking import Atlas, ParticleFindings, Place


def numbers(found: Sequence[Findings]) -> list[int]:
    return [findings.number for findings in found]


def whole(start, seed: int = 1) -> Findings:
    """Findings with every subject, arrays and numbers that a rounding would change."""
    random = np.random.default_rng(seed)
    line = np.sort(random.normal(size=4))
    atlas = Atlas(
        Place(line, line[:3]), random.integers(0, 9, (3, 4)).astype(np.int32),
        random.normal(size=(3, 4)), (2, 5),
    )  # fmt: skip
    a = np.array([[np.nan, 8.1 + 1e-15], [np.inf, -0.0]])
    field = Field(
        random.normal(size=(4, 4, 3)).astype(np.float32), np.arange(3), random.normal(size=7),
        line, line, (0.1, -0.2, np.nextafter(3.0, 4.0)), 0.01,
        random.normal(size=3).astype(np.float32), ("coarse", "broad"),
    )  # fmt: skip
    return dataclasses.replace(
        Findings.of(start), field=field, particles=ParticleFindings(atlas, (1, 3), a, a)
    )


def bits(value: object) -> object:
    """Everything in a dataclass, arrays as type, shape and bytes."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if dataclasses.is_dataclass(value):
        return [bits(getattr(value, f.name)) for f in dataclasses.fields(value)]
    return [bits(each) for each in value] if isinstance(value, tuple) else value


def test_a_scan_under_the_description_of_another_does_not_take_its_place(scan, tmp_path) -> None:
    kept = EarlierScans(tmp_path)
    own = whole(scan(1))
    kept.keep(scan(1), {"xrdct": own})
    other = scan(1, description_problem="scan run-1 came before: an old header appendix?")
    kept.keep(other, {"xrdct": Findings.of(other)})
    for known in (kept, EarlierScans(tmp_path)):  # in memory, and for one who is started again
        (found,) = known.before(scan(2), "xrdct")
        assert bits(found) == bits(own)


def test_findings_come_in_the_order_of_scans_and_only_those_of_earlier_ones(scan) -> None:
    kept = EarlierScans()
    for number in (3, 1, 2):
        kept.keep(scan(number), {"xrdct": Findings.of(scan(number))})
    kept.keep(scan(1, run="other"), {"xrdct": Findings.of(scan(1, run="other"))})
    assert numbers(kept.before(scan(3), "xrdct")) == [1, 2]
    assert kept.before(scan(3), "powder") == ()
    again = Findings.of(scan(1))
    kept.keep(scan(1), {"xrdct": again})
    assert kept.before(scan(2), "xrdct") == (again,)


def test_only_a_process_that_missed_all_earlier_scans_knows_of_none(scan) -> None:
    kept = EarlierScans()
    assert not kept.unknown(scan(1))
    assert kept.unknown(scan(2))
    kept.keep(scan(1), {})
    assert not kept.unknown(scan(2))
    assert kept.unknown(scan(2, run="other"))


def test_what_is_kept_is_bounded_and_what_surrounds_others_stays(scan) -> None:
    kept = EarlierScans()
    for number in range(1, SCANS_KEPT + 20):
        role = {1: "broad", 2: "coarse"}.get(number, "slice")
        start = scan(number, role=role)
        kept.keep(start, {"xrdct": Findings.of(start)})
    last = numbers(kept.before(scan(10_000), "xrdct"))
    assert len(last) == SCANS_KEPT + 2
    assert last[:3] == [1, 2, 20]
    for n in range(RUNS_KEPT):
        kept.keep(scan(1, run=f"later-{n}"), {})
    assert kept.before(scan(10_000), "xrdct") == ()


def test_the_parts_of_a_slice_keep_its_field_until_the_next_slice_is_finished(scan) -> None:
    kept = EarlierScans()
    roles = ("coarse", "slice", "roi", "roi", "slice")
    for number, role in enumerate(roles, 1):
        start = scan(number, role=role)
        kept.keep(start, {"xrdct": whole(start)})
        held = [f.number for f in kept.before(scan(99), "xrdct") if f.field is not None]
        assert held == [[1], [1, 2], [1, 2, 3], [1, 2, 4], [1, 5]][number - 1]


def test_what_is_on_disk_is_what_was_kept_bit_for_bit(scan, tmp_path) -> None:
    kept = EarlierScans(tmp_path / "findings")
    for number, role in enumerate(("broad", "slice", "roi", "slice", "roi"), 1):
        start = scan(number, run="a/b: ..", role=role)
        kept.keep(start, {"xrdct": whole(start, number), "powder": Findings.of(start)})
        again = EarlierScans(tmp_path / "findings")
        for consumer in ("xrdct", "powder"):
            asked = scan(99, run="a/b: ..")
            known = kept.before(asked, consumer)
            assert len(known) == number
            assert bits(again.before(asked, consumer)) == bits(known)


def test_a_bounded_memory_leaves_a_bounded_folder(scan, tmp_path) -> None:
    kept = EarlierScans(tmp_path)
    for number in range(1, SCANS_KEPT + 3):
        kept.keep(scan(number), {"xrdct": Findings.of(scan(number))})
    assert len(list(tmp_path.iterdir())) == SCANS_KEPT
    for n in range(RUNS_KEPT):
        start = scan(1, run=f"later-{n}")
        kept.keep(start, {"xrdct": Findings.of(start)})
    assert len(list(tmp_path.iterdir())) == RUNS_KEPT
    assert EarlierScans(tmp_path).before(scan(9, run="later-1"), "xrdct")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other checksum", "foreign"])
def test_a_damaged_file_is_named_and_costs_its_scan_alone(scan, tmp_path, caplog, damage) -> None:
    kept = EarlierScans(tmp_path)
    for number in (1, 2):
        kept.keep(scan(number), {"xrdct": whole(scan(number))})
    path = sorted(tmp_path.iterdir())[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(
        {
            "flip": content, "cut": path.read_bytes()[:-1], "empty": b"", "foreign": b"x" * 99,
            "other checksum": path.read_bytes()[:4] + bytes(8) + path.read_bytes()[12:],
        }[damage]
    )  # fmt: skip
    with caplog.at_level(logging.WARNING):
        again = EarlierScans(tmp_path)
    assert numbers(again.before(scan(3), "xrdct")) == [2]
    assert any(path.name in r.getMessage() for r in caplog.records)
    again.keep(scan(1), {"xrdct": whole(scan(1))})  # and is made good when there is a new one
    assert numbers(EarlierScans(tmp_path).before(scan(3), "xrdct")) == [1, 2]


def test_sound_bytes_of_another_shape_are_no_findings(scan, tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr("operando.stream.packing.VERSION", 99)
    EarlierScans(tmp_path).keep(scan(1), {"xrdct": whole(scan(1))})
    monkeypatch.undo()
    with caplog.at_level(logging.WARNING):
        assert EarlierScans(tmp_path).before(scan(2), "xrdct") == ()
    assert any("version 99" in r.getMessage() for r in caplog.records)


def test_a_disk_that_refuses_is_named_and_memory_goes_on(scan, tmp_path, caplog) -> None:
    (tmp_path / "file").write_text("no folder")
    kept = EarlierScans(tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        kept.keep(scan(1), {"xrdct": whole(scan(1))})
    assert numbers(kept.before(scan(2), "xrdct")) == [1]
    assert any("scan 1 are not on disk" in r.getMessage() for r in caplog.records)
