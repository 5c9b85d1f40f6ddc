import dataclasses
import gc
import tracemalloc

import numpy as np
import pytest
from operando.live_views.model import RunModel
from operando.live_views.theme import DARK, LIGHT, configure
from operando.live_views.window import LiveWindow
from operando.stream.messages import Focus, Status
from PySide6 import QtCore, QtGui, QtWidgets

NOW = 1_795_000_000.0


@pytest.fixture
def open_window(qtbot, tmp_path):
    configure()

    def make(theme=DARK, send=None, model=None):
        window = LiveWindow(model or RunModel(wall=lambda: NOW), theme, send, tmp_path)
        qtbot.addWidget(window)
        window.show()
        qtbot.waitExposed(window)
        return window

    return make


def pixels(widget):
    """(rows, cols, 3) uint8 of what widget looks like."""
    image = widget.grab().toImage().convertToFormat(QtGui.QImage.Format.Format_RGBX8888)
    raw = np.frombuffer(image.constBits(), np.uint8)
    return raw.reshape(image.height(), image.bytesPerLine() // 4, 4)[:, : image.width(), :3].copy()


def colours(widget):
    return len(np.unique(pixels(widget).reshape(-1, 3), axis=0))


def has_colour(widget, colour, at_least=1):
    wanted = np.array(list(bytes.fromhex(colour.lstrip("#"))), np.uint8)
    return int((pixels(widget) == wanted).all(-1).sum()) >= at_least


def texts(widget):
    return " | ".join(w.text() for w in widget.findChildren(QtWidgets.QLabel) if w.isVisible())


def press(qtbot, window, key):
    qtbot.keyClick(window, key)


def finished(window, synthetic, pauses=3):
    for number in range(1, pauses + 1):
        window.take(synthetic.finished_scan(number))
    window.take([synthetic.samples(synthetic.mark_s(pauses) + 400), synthetic.frame(pauses, 7)])
    window.take(synthetic.statuses(NOW, pauses, 1.0))
    window.redraw()


def test_an_empty_window_says_what_it_waits_for(open_window):
    window = open_window()
    window.redraw()
    said = texts(window)
    for sentence in ("waiting for the hub", "no pattern yet", "no frame yet", "NO CELL DATA YET"):
        assert sentence in said


def test_the_first_projection_is_counted_while_there_is_no_map(open_window, small):
    window = open_window()
    window.take([small.start(1), small.account(1, 12 / small.frames)])
    window.redraw()
    assert "waiting for the first projection:\n12 of 15 points" in texts(window)


@pytest.mark.parametrize("theme", [DARK, LIGHT])
def test_the_map_has_the_colours_of_its_values(open_window, small, theme):
    window = open_window(theme)
    empty = colours(window.map.canvas)
    finished(window, small)
    assert colours(window.map.canvas) > empty + 30
    for panel in (window.histogram.plot, window.pattern.plot, window.frame.plot, window.film.strip):
        assert colours(panel) > 8


def test_voxels_not_measured_yet_are_hatched_until_the_scan_is_complete(open_window, small):
    window = open_window()
    window.take(small.growing_scan(1, 0.3))
    window.redraw()
    assert has_colour(window.map.canvas, DARK.hatch_line, 50)
    assert window.map.canvas.badge.text() == "provisional · 30 %"
    window.take(small.results(1, 1.0, 9, final=True))
    window.redraw()
    assert not has_colour(window.map.canvas, DARK.hatch_line, 50)
    assert has_colour(window.map.canvas, DARK.masked, 50)
    assert not window.map.canvas.badge.isVisible()


def test_every_number_in_the_status_line_has_its_unit(open_window, small):
    window = open_window()
    window.take(small.growing_scan(2, 0.5))
    window.take([small.samples(small.mark_s(2) + 101)])
    window.take(small.statuses(NOW, 2, 0.5))
    window.redraw()
    said = texts(window.status)
    for part in ("PAUSED AT OPEN CIRCUIT", " V, for 1:40 of cell time", "2 of 4: 50 %",
                 "98 frames/s", "0.2 s", "412 GB", "connected", "2 reducers"):  # fmt: skip
        assert part in said


def test_red_is_kept_for_losses(open_window, small):
    window = open_window()
    finished(window, small)
    assert not has_colour(window, DARK.fault)
    window.take([small.account(2, 1.0, closed=True, lost=4)])
    window.redraw()
    assert window.status.cells["lost"].value.text() == "4"
    assert has_colour(window.status, DARK.fault, 5)


def test_both_sums_of_the_newest_scan_stand_in_the_status_line(open_window, small):
    window = open_window()
    window.take([small.start(1), small.account(1, 1.0, closed=True)])
    window.take([small.start(2), small.account(2, 0.5, lost=4)])
    window.redraw()
    first, second = (label.text() for label in window.status.sums)
    assert first == "scan 2: announced 180 = recorded 86 + lost 4 + still to come 90"
    assert second == "recorded = in results 86 + failed 0 + pending 0"
    tip = window.status.cells["lost"].toolTip()
    assert tip == f"{first}\n{second}\nscan 2, lost: 0-3: sequence gap"
    window.take([small.account(2, 1.0, closed=True, lost=4)])
    window.redraw()
    assert window.status.sums[0].text() == "scan 2: announced 180 = recorded 176 + lost 4"


def test_frames_that_never_arrive_are_red_in_the_status_line(open_window, small):
    now = [0.0]
    window = open_window(model=RunModel(lambda: now[0], lambda: NOW))
    window.take([small.start(1), small.account(1, 0.2)])
    plan = next(s for s in small.statuses(NOW, 1, 0.8) if s.component == "plan")
    window.take([plan])
    window.redraw()
    assert window.status.cells["lost"].value.text() == "0"
    now[0] = 11.0
    values = {**plan.values, "frames_done": small.frames}
    window.take([dataclasses.replace(plan, time=NOW + 11, values=values)])
    window.redraw()
    assert window.status.trouble.text() == "detector took 180 frames, only 36 arrived"
    assert window.status.cells["lost"].value.text() == "0, 144 not arrived"
    assert has_colour(window.status, DARK.fault, 5)
    assert "scan 1: detector took 180 frames, only 36 arrived" in window.next.log.toPlainText()


def test_a_run_that_missed_a_mark_says_so_in_amber(open_window, small):
    window = open_window()
    window.take(small.finished_scan(1))
    values = {"mark": 1, "marks": 2, "marks_taken": 1}
    window.take([Status("plan", "finished", NOW, values)])
    window.redraw()
    assert window.next.now.text() == "Finished · 1 of 2 marks taken"
    assert has_colour(window.next.now, DARK.warning, 5)
    assert "plan: finished · 1 of 2 marks taken" in window.next.log.toPlainText()


def test_a_lost_connection_is_said_and_not_shown_as_a_frozen_picture(open_window, small):
    now = [0.0]
    model = RunModel(lambda: now[0], lambda: NOW)
    window = open_window(model=model)
    window.take(small.statuses(NOW))
    window.redraw()
    now[0] += 4.0
    window.tick()
    assert window.status.trouble.text() == "no data from the hub for 4 s"
    assert has_colour(window.status, DARK.fault, 5)


def test_who_joins_late_has_the_whole_picture_at_once(open_window, small):
    window = open_window()
    messages = [m for n in (1, 2, 3) for m in small.results(n, 1.0, 5, final=True)]
    window.take([*messages, small.samples(5000.0), *small.statuses(NOW, 3)])
    window.redraw()
    assert colours(window.map.canvas) > 30
    assert len(window.film.strip._cells) == 4  # three pauses, and the fourth that is planned
    assert "no map yet" not in texts(window)


def test_space_holds_the_display_while_data_goes_on_being_taken(qtbot, open_window, small):
    window = open_window()
    window.take(small.growing_scan(1, 0.3))
    window.redraw()
    press(qtbot, window, QtCore.Qt.Key.Key_Space)
    assert "display paused" in window.status.trouble.text()
    window.take(small.results(1, 1.0, 9, final=True))
    window.tick()
    assert window.map.canvas.badge.text() == "provisional · 30 %"
    press(qtbot, window, QtCore.Qt.Key.Key_Space)
    assert not window.map.canvas.badge.isVisible()


def test_arrows_walk_through_the_pauses_and_come_back_to_the_newest(qtbot, open_window, small):
    window = open_window()
    finished(window, small)
    press(qtbot, window, QtCore.Qt.Key.Key_Left)
    assert window.map.note.text().startswith("pause 2")
    press(qtbot, window, QtCore.Qt.Key.Key_Left)
    press(qtbot, window, QtCore.Qt.Key.Key_Left)
    assert window.map.note.text().startswith("pause 1")
    for _ in range(2):
        press(qtbot, window, QtCore.Qt.Key.Key_Right)
    assert window.map.note.text() == "pause 3"
    window.take(small.growing_scan(4, 0.5))
    window.redraw()
    assert window.map.note.text() == "pause 4"


def test_number_keys_choose_the_quantity_and_the_colour_bar_says_its_unit(
    qtbot, open_window, small
):
    window = open_window()
    finished(window, small)
    assert window.map.colours.label == "Lattice parameter a (Å)"
    press(qtbot, window, QtCore.Qt.Key.Key_2)
    assert window.map.colours.label == "Uncertainty of a (Å)"
    press(qtbot, window, QtCore.Qt.Key.Key_4)
    assert window.map.colours.label == "Peak width (Å⁻¹)"


def test_s_saves_the_window_as_a_png(qtbot, open_window, small, tmp_path):
    window = open_window()
    finished(window, small)
    press(qtbot, window, QtCore.Qt.Key.Key_S)
    (saved,) = tmp_path.glob("operando-*.png")
    image = QtGui.QImage(str(saved))
    assert (image.width(), image.height()) == (1920, 1080)


def test_the_question_mark_shows_the_keys(qtbot, open_window):
    window = open_window()
    qtbot.keyClicks(window, "?")
    assert window.help.isVisible()
    press(qtbot, window, QtCore.Qt.Key.Key_Escape)
    assert not window.help.isVisible()


def click_map(qtbot, canvas, row, column):
    x, y, width, height = canvas._map.extent
    rows, cols = canvas._map.values.shape
    place = QtCore.QPointF(x + (column + 0.5) * width / cols, y + (row + 0.5) * height / rows)
    at = canvas.mapFromScene(canvas.item.vb.mapViewToScene(place))
    qtbot.mouseClick(canvas.viewport(), QtCore.Qt.MouseButton.LeftButton, pos=at)


def test_a_click_on_a_voxel_asks_for_it_and_shows_its_pattern_and_history(
    qtbot, open_window, small
):
    sent = []
    window = open_window(send=sent.append)
    finished(window, small)
    click_map(qtbot, window.map.canvas, 9, 5)
    assert sent == [Focus(small.scan(3), 9, 5)]
    assert window.pattern.title.text() == "Mean pattern (voxel asked for)"
    window.take(small.voxel(3, 9, 5))
    window.redraw()
    assert window.pattern.title.text() == "Voxel row 9, column 5"
    assert window.pattern.note.text().startswith("a = 8.")
    assert window.trend.note.text().startswith("□ voxel")
    window.take([small.start(4)])
    assert sent[-1] == Focus(small.scan(4), 9, 5)


def test_a_window_that_may_only_look_sends_nothing(qtbot, open_window, small):
    window = open_window(send=None)
    finished(window, small)
    click_map(qtbot, window.map.canvas, 9, 5)
    assert window.view.picked == (9, 5)


def test_brushing_the_histogram_highlights_the_forbidden_window_in_the_map(
    qtbot, open_window, small
):
    window = open_window()
    finished(window, small)
    before = pixels(window.map.canvas).astype(int).sum()
    press(qtbot, window, QtCore.Qt.Key.Key_B)
    assert window.view.brush == pytest.approx((8.076, 8.145))
    assert pixels(window.map.canvas).astype(int).sum() < 0.9 * before
    press(qtbot, window, QtCore.Qt.Key.Key_B)
    assert window.view.brush is None


def test_two_clicks_in_the_film_compare_two_pauses_around_zero(qtbot, open_window, small):
    window = open_window()
    finished(window, small)
    strip = window.film.strip
    for at in (0, 2):
        where = strip.place(at).center()
        qtbot.mouseClick(strip, QtCore.Qt.MouseButton.LeftButton, pos=where)
    assert window.stack.currentWidget() is window.compare
    assert window.compare.heads[0].text() == "A: pause 1 · 4.160 V"
    low, high = window.compare.difference._range
    assert low == -high
    assert "median change +0.1" in window.compare.note.text()
    press(qtbot, window, QtCore.Qt.Key.Key_Escape)
    assert window.stack.currentWidget() is not window.compare


def test_a_frame_that_cannot_be_decoded_is_said_and_the_window_goes_on(open_window, small):
    window = open_window()
    finished(window, small)
    broken = dataclasses.replace(small.frame(3, 8), encoding="bslz4", data=b"no pixels")
    window.take([broken])
    window.redraw()
    assert "frame 8 cannot be decoded" in window.frame.empty.text()
    window.take([small.frame(3, 9)])
    window.redraw()
    assert window.frame.empty.text() == ""


def test_rings_lie_where_the_fitted_reflections_are(open_window, synthetic):
    from operando.live_views.frame_panel import ring_points

    window = open_window()
    finished(window, synthetic)
    points = ring_points(window.model, window.model.scan())
    first = points[: np.argmax(np.isnan(points).all(1) & (np.arange(len(points)) > 700))]
    radii = np.hypot(first[:, 0] - 256.0, first[:, 1] - 40.0)
    q = synthetic.reflections(8.192)[0]
    by_hand = 0.41 / 75e-6 * np.tan(2 * np.arcsin(q * 0.24797 / (4 * np.pi)))
    assert radii[np.isfinite(radii)] == pytest.approx(by_hand, rel=1e-4)


def test_rings_are_drawn_on_a_detector_that_is_tilted_and_taken_away_on_demand(
    open_window, synthetic
):
    window = open_window()
    tilted = synthetic.start(1)
    poni = tilted.poni.replace("Rot1: 0.0", "Rot1: 0.004")
    window.take([dataclasses.replace(tilted, poni=poni), *synthetic.results(1, 0.4, 1)])
    window.take([synthetic.frame(1, 7)])
    window.redraw()
    assert np.isfinite(window.frame.curves.getData()[0]).sum() > 200
    with_rings = pixels(window.frame.plot)
    window.frame.rings.click()
    assert len(window.frame.curves.getData()[0]) == 0
    assert (pixels(window.frame.plot) != with_rings).any(-1).sum() > 200


def test_a_map_of_another_consumer_can_be_chosen(open_window, small):
    window = open_window()
    base = next(r for r in small.results(1, 1.0, 1) if r.name == "peak_intensity")
    window.take([dataclasses.replace(base, consumer="intensity", name="total_counts")])
    window.redraw()
    window.map.choose_at(5)
    assert window.map.title.text() == "Total counts"
    assert colours(window.map.canvas) > 20


def test_results_of_another_shape_or_without_coordinates_do_not_stop_the_window(open_window, small):
    window = open_window()
    finished(window, small)
    for result in list(small.results(4, 0.5, 1)):
        window.take([dataclasses.replace(result, coords={}, units={}, attrs={})])
        window.redraw()
        flat = dataclasses.replace(result, values=np.zeros(3, np.float32), dims=("n",), revision=2,
                                   coords={}, uncertainty=None)  # fmt: skip
        window.take([flat])
        window.redraw()
        empty = np.full(result.values.shape, np.nan, np.float32)
        window.take([dataclasses.replace(result, values=empty, revision=3)])
        window.redraw()


def test_five_thousand_updates_neither_stop_nor_grow_the_window(open_window, small):
    window = open_window()
    finished(window, small)
    kept = list(small.results(4, 0.5, 1))

    def update(n):
        result = dataclasses.replace(kept[n % len(kept)], revision=n + 2)
        window.take([result, *small.statuses(NOW + n, 4, 0.5)[:2]])
        window.status.show_connection(window.model)
        if n % 25 == 0:
            window.draw()

    for n in range(1000):
        update(n)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    items = len(window.map.canvas.scene().items())
    for n in range(1000, 5000):
        update(n)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 3_000_000
    assert len(window.map.canvas.scene().items()) == items
