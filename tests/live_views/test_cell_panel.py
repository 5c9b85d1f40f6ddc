import dataclasses
from itertools import pairwise

import pytest
from operando.live_views.cell_panel import CellPanel
from operando.live_views.cell_series import scan_period
from operando.live_views.model import RunModel
from operando.live_views.ranges import Ranges
from operando.live_views.theme import DARK, configure
from operando.live_views.view_state import ViewState


@pytest.fixture
def panel(qtbot):
    configure()
    made = CellPanel(DARK, ViewState(Ranges()))
    qtbot.addWidget(made)
    made.resize(1200, 300)
    return made


def test_a_scan_is_shaded_from_its_cell_state_to_the_end_of_the_pause(small):
    model = RunModel()
    model.take(small.start(1))
    model.take(small.samples(small.mark_s(1) + 600))
    begin, end = scan_period(model, model.scan())
    assert begin == small.mark_s(1)
    assert end == pytest.approx(small.mark_s(1) + small.pause_s, abs=5)


def test_a_scan_whose_stop_was_seen_ends_there(small):
    at = small.began + small.mark_s(1) + 100.0
    model = RunModel(wall=lambda: at)
    model.take(small.start(1))
    model.take(small.samples(small.mark_s(1) + 600))
    model.take(small.stop(1))
    assert scan_period(model, model.scan())[1] == pytest.approx(small.mark_s(1) + 100.0)


def test_a_scan_without_a_cell_state_is_placed_by_its_unix_time(small):
    model = RunModel()
    model.take(dataclasses.replace(small.start(1), cell=None))
    model.take(small.samples(small.mark_s(1) + 600))
    assert scan_period(model, model.scan())[0] == pytest.approx(small.mark_s(1))


def test_current_and_charge_are_in_the_unit_that_fits_and_time_too(panel, small):
    model = RunModel()
    model.take(small.samples(4000.0))
    panel.refresh(model)
    axes = {side: panel.current.getAxis(side).labelText for side in ("left", "right", "bottom")}
    assert axes == {"left": "I (µA)", "right": "Q (µA h)", "bottom": "time (min)"}
    assert "I −8.00 µA" in panel.note.text()


def test_scans_are_numbered_and_never_overlap(panel, small):
    model = RunModel()
    for number in (1, 2, 3):
        model.take(small.start(number))
    sparse = small.samples(small.mark_s(3) + 900, step_s=1000.0)
    model.take(dataclasses.replace(sparse, states=("IDLE",) * sparse.time_s.size))
    panel.refresh(model)
    regions = [upper.getRegion() for upper, _, text in panel._shades if text.isVisible()]
    assert len(regions) == 3
    assert all(a[1] <= b[0] for a, b in pairwise(regions))
    assert [text.toPlainText() for _, _, text in panel._shades] == ["1", "2", "3"]
