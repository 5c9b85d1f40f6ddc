"""The figures of a synthetic run, drawn and looked at as an editor would, by their numbers."""

import dataclasses
import itertools
import re
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from operando.live_views.figures import card, histograms, maps, particles, segments
from operando.live_views.figures.catalogue import figures_of
from operando.live_views.figures.sheet import COLUMN_MM, PAGE_MM, Sheet, journal_style
from operando.live_views.model import RunModel
from operando.live_views.quantities import QUANTITIES
from operando.live_views.ranges import Ranges
from operando.live_views.theme import LIGHT
from operando.stream.messages import Decision, Proposal, Result
from PySide6 import QtGui

GALLERY = Path(__file__).parents[2] / "docs/gallery.md"


def model_of(synthetic, pauses, *more):
    model = RunModel()
    model.take(synthetic.samples(synthetic.mark_s(pauses) + 400))
    for number in range(1, pauses + 1):
        for message in (*synthetic.finished_scan(number), *synthetic.particles(number)):
            model.take(message)
        model.take(synthetic.balance(number, 0.2 * number, 0.19 * number))
    for message in more:
        model.take(message)
    return model


def sorted_voxels(synthetic, number):
    """Segments and their table, as the analysis sends them."""
    a = next(r for r in synthetic.results(number, 1.0, 2, final=True)
             if r.name == "lattice_parameter")  # fmt: skip
    of = np.where(np.isfinite(a.values), (a.values > 8.12).astype(np.float32), np.nan)
    yield dataclasses.replace(a, name="segments", unit="", values=of, uncertainty=None)
    columns = "voxels,a_angstrom,mass_fraction_spinel,mass_fraction_salt,mass_fraction_salt_sigma"
    yield dataclasses.replace(
        a, name="region_table", unit="", dims=("region", "column"), uncertainty=None,
        coords={"region": np.arange(3), "column": np.arange(5)}, units={"region": "", "column": ""},
        values=np.array([[9, 8.1, 1, 0, 0], [4, 8.08, 0.8, 0.2, 0.01], [5, 8.17, 0.95, 0.05, 0.01]],
                        np.float32),
        attrs={"columns": columns, "regions": "bulk,segment 0,segment 1"},
    )  # fmt: skip


def soc_of(synthetic, number):
    a = next(r for r in synthetic.results(number, 1.0, 2, final=True)
             if r.name == "lattice_parameter")  # fmt: skip
    return dataclasses.replace(a, name="soc", unit="", values=(a.values - 8.0) * 4)


def rescanned(synthetic, number):
    """A finer scan of a part of the map of scan 1, asked for by it."""
    start = synthetic.start(number)
    yield dataclasses.replace(
        start, notes={"role": "roi", "parent": synthetic.scan(1), "mark": 1, "proposal": "r-1"}
    )
    for result in synthetic.results(number, 1.0, 2, final=True):
        coords = {k: 0.3 * v if k in "xy" else v for k, v in result.coords.items()}
        yield dataclasses.replace(result, coords=coords)
        if result.name == "peak_intensity":
            yield dataclasses.replace(
                result, name="dose", unit="photons/um2", values=result.values * 1e6
            )


def phases_of(synthetic, number):
    """Mass fractions of two phases."""
    a = next(r for r in synthetic.results(number, 1.0, 2, final=True)
             if r.name == "lattice_parameter")  # fmt: skip
    share = 4 * (a.values - 8.0)
    for name, formula, values in (("salt", "LiMnO2", 1 - share), ("spinel", "LiMn2O4", share)):
        yield dataclasses.replace(
            a, name=f"mass_fraction_{name}", unit="", values=values, attrs={"formula": formula}
        )


def coarse(synthetic, number):
    """A wide scan of its own number."""
    yield dataclasses.replace(synthetic.start(number), notes={"role": "coarse"})
    for result in synthetic.results(number, 1.0, 2, final=True):
        coords = {k: 3 * v if k in "xy" else v for k, v in result.coords.items()}
        yield dataclasses.replace(result, coords=coords)


@pytest.fixture
def whole(small):
    """Three pauses with everything that has a figure."""
    more = [
        message for n in (1, 2, 3)
        for message in (soc_of(small, n), *phases_of(small, n), *sorted_voxels(small, n))
    ]  # fmt: skip
    return model_of(small, 3, *more, *rescanned(small, 4), *coarse(small, 5))


def words_on(sheet):
    """Every text that is seen, with where it stands in pixels; ticks out of view are not."""
    sheet.figure.draw_without_rendering()
    found = list(sheet.figure.texts)
    for axes in sheet.figure.axes:
        if not axes.axison:
            found += axes.texts
            continue
        found += [t for t in axes.texts if not t.get_clip_on()]
        found += axes.get_legend().get_texts() if axes.get_legend() else []
        for axis, at in ((axes.xaxis, 0), (axes.yaxis, 1)):
            low, high = sorted(axis.get_view_interval())
            found += [axis.label, *(t for t in axis.get_ticklabels()
                                    if low <= t.get_position()[at] <= high)]  # fmt: skip
    renderer = sheet.figure.canvas.get_renderer()
    for text in found:
        if text.get_text().strip() and text.get_visible():
            yield text, text.get_window_extent(renderer)


def test_every_figure_of_the_gallery_is_drawn_with_letters_of_a_journals_size_none_cut(whole):
    figures = figures_of(whole)
    names = {figure.name for figure in figures}
    with journal_style():
        for figure in figures:
            if not figure.always and figure.name != "map-lattice_parameter":
                continue  # one of these stands for all
            sheet = figure.draw()
            assert sheet.width_mm in (COLUMN_MM, PAGE_MM), figure.name
            wide, tall = sheet.figure.canvas.get_width_height()
            for text, box in words_on(sheet):
                said = f"{figure.name}: {text.get_text()!r} at {box.extents.round()}"
                assert 6.0 <= text.get_size() <= 8.0, said
                assert box.x0 > -1 and box.y0 > -1, said  # noqa: PT018
                assert box.x1 < wide + 1 and box.y1 < tall + 1, said  # noqa: PT018
    assert {"evolution", "histograms", "particles", "particle-9", "charge", "quality"} <= names
    assert {"rescans", "segments", "cell", "patterns", "sinograms", "maps-1"} <= names
    asked = re.findall(r"--only '?([\w*-]+)'?", GALLERY.read_text(encoding="utf-8"))
    assert len(asked) > 10
    assert all(any(fnmatchcase(name, pattern) for name in names) for pattern in asked)


def test_panels_are_lettered_in_order_and_titles_do_not_meet(whole):
    with journal_style():
        sheet = maps.quantity_maps(whole, whole.scans()[:3], Ranges(), QUANTITIES[0])
    letters = [t for t in sheet.figure.texts if len(t.get_text()) == 1]
    assert [t.get_text() for t in letters] == ["a", "b", "c"]
    assert all(t.get_weight() == "bold" for t in letters)
    boxes = sorted((box.x0, box.x1) for text, box in words_on(sheet) if text in sheet.figure.texts)
    assert all(right < left for (_, right), (left, _) in itertools.pairwise(boxes))
    assert sheet.width_mm == PAGE_MM


def test_one_map_stands_in_a_column_with_its_unit_and_scale_bar(whole):
    with journal_style():
        sheet = maps.quantity_maps(whole, whole.scans()[:1], Ranges(), QUANTITIES[0])
    said = {text.get_text() for text in sheet.figure.findobj(Text)}
    assert sheet.width_mm == COLUMN_MM
    assert {"Lattice parameter a (Å)", "2 µm", "x (µm)", "y (µm)", "Pause 1, 4.160 V"} <= said


def test_a_map_shows_the_values_of_its_voxels_in_the_colours_of_the_bar(whole):
    scan = whole.scans()[0]
    shown = maps.map_of(scan, QUANTITIES[0])
    with journal_style():
        sheet = Sheet(COLUMN_MM, COLUMN_MM)
        axes = sheet.panel(10, 10, 50, 50)
        maps.draw_map(axes, shown, 8.0, 8.2)
    picture = axes.images[0].get_array()
    k = picture.shape[0] // shown.values.shape[0]
    row, column = np.argwhere(np.isfinite(shown.values))[0]
    table = maps.colour_table("lattice_parameter")
    expected = table[round((shown.values[row, column] - 8.0) / 0.2 * 255)]
    assert np.abs(picture[row * k, column * k].astype(int) - expected).max() <= 3
    assert axes.images[0].get_extent() == [-7.5, 7.5, -7.5, 7.5]


def test_a_particle_that_deviates_is_dashed_in_one_path_and_named(whole):
    with journal_style():
        sheet = particles.all_particles(whole, Ranges())
    axes = sheet.figure.axes[0]
    dashed = [line for line in axes.lines if line.is_dashed()]
    assert len(dashed) == 1
    assert not np.isnan(dashed[0].get_xdata()).any()  # one particle: one loop
    assert {t.get_text() for t in axes.texts} >= {"4", "9!"}


def test_a_card_holds_the_numbers_of_its_particle(whole):
    assert particles.cards_of(whole) == [9]
    with journal_style():
        sheet = card.card(whole, Ranges(), 9)
    said = {text.get_text() for text in sheet.figure.findobj(Text)}
    assert {"8.1000(8) Å", "Apart from the population", "LiMn$_{2}$O$_{4}$"} <= said
    history = next(a for a in sheet.figure.axes if a.get_xlabel().startswith("time"))
    mine = [line for line in history.lines if line.get_color() == LIGHT.active]
    np.testing.assert_allclose(mine[0].get_ydata(), [8.06, 8.07, 8.08], rtol=1e-6)


def test_a_histogram_has_the_windows_borders_and_the_colours_of_the_map(whole):
    scan = whole.scans()[1]
    assert histograms.forbidden(scan) == (8.076, 8.145)
    with journal_style():
        sheet = histograms.histograms(whole, [scan], Ranges())
    bars = [p for p in sheet.figure.axes[0].patches if p.get_height() > 1 and p.get_width() < 0.01]
    assert sum(p.get_height() for p in bars) > 30
    colour = {to_rgb(p.get_facecolor()) for p in bars}
    assert len(colour) > 1


def test_segments_have_their_fractions_and_not_the_phase_they_are_made_of(whole):
    scan = whole.scans()[2]
    assert segments.segment_rows(scan)[1]["mass_fraction_salt"] == pytest.approx(0.05)
    with journal_style():
        sheet = segments.segments(whole, scan, Ranges())
    heights = [p.get_height() for a in sheet.figure.axes for p in a.patches if p.get_width() > 0.2]
    assert heights == pytest.approx([20.0, 5.0])


def test_the_mean_of_the_map_stands_at_the_charge_that_has_passed(whole):
    figure = next(f for f in figures_of(whole) if f.name == "charge")
    with journal_style():
        sheet = figure.draw()
    axes = next(a for a in sheet.figure.axes if a.get_ylabel().startswith("mean"))
    means = next(line for line in axes.lines if line.get_marker() == "o")
    np.testing.assert_allclose(means.get_ydata(), [0.2, 0.4, 0.6], rtol=1e-6)
    charges = [s.start.cell.charge_ah for s in whole.scans()[:3]]
    np.testing.assert_allclose(means.get_xdata(), 1e6 * np.array(charges), rtol=1e-6)
    assert axes.xaxis_inverted()


def test_a_run_shows_what_it_has_and_no_more(small):
    model = RunModel()
    for message in [*small.growing_scan(1, 0.3), small.stop(1, "aborted")]:
        model.take(message)
    names = {figure.name for figure in figures_of(model)}
    assert "map-lattice_parameter" in names
    assert not {"evolution", "particles", "charge", "phases", "rescans", "segments"} & names


def test_a_result_without_any_number_still_has_its_figures(small):
    messages = [*small.finished_scan(1), *small.particles(1), soc_of(small, 1)]
    model = RunModel()
    model.take(small.samples(2000))
    for message in messages:
        if isinstance(message, Result):
            message = dataclasses.replace(
                message, values=np.full_like(message.values, np.nan), uncertainty=None
            )
        model.take(message)
    model.take(dataclasses.replace(small.balance(1, 0.2, 0.2), attrs={"columns": "mean"}))
    with journal_style():
        for figure in figures_of(model):
            figure.draw().figure.draw_without_rendering()


def test_a_pause_without_a_map_keeps_its_place_in_a_row(whole):
    for scan in whole.scans()[:2]:
        del scan.results["xrdct", "peak_width"]
    width = next(q for q in QUANTITIES if q.key == "peak_width")
    with journal_style():
        sheet = maps.quantity_rows(whole.scans()[:3], Ranges(), [QUANTITIES[0], width])
    below = sheet.figure.axes[4:7]  # after a row of three and its bar
    assert [len(axes.images) for axes in below] == [0, 0, 1]
    assert [t.get_text() for t in below[0].texts] == ["no map"]


def test_a_history_without_voltages_is_drawn_empty(small):
    model = RunModel()
    samples = small.samples(2000)
    model.take(dataclasses.replace(samples, voltage_v=np.full(samples.time_s.size, np.nan)))
    for message in small.finished_scan(1):
        model.take(message)
    with journal_style():
        for figure in figures_of(model):
            if figure.name in ("cell", "evolution"):
                figure.draw().figure.draw_without_rendering()


def test_a_sheet_is_saved_in_its_size_as_vectors_and_at_300_dots_an_inch(tmp_path):
    with journal_style():
        sheet = Sheet(COLUMN_MM, 40.0)
        axes = sheet.panel(10, 8, 60, 24)
        axes.plot([0, 1], [0, 1])
        sheet.title(axes, "a line")
        pdf, png = sheet.save(tmp_path, "line")
    image = QtGui.QImage(str(png))
    assert image.width() == pytest.approx(85 / 25.4 * 300, abs=1)
    assert image.dotsPerMeterX() == pytest.approx(300 / 0.0254, rel=1e-3)
    raw = pdf.read_bytes()
    box = [float(v) for v in re.search(rb"/MediaBox \[([^\]]*)\]", raw)[1].split()]
    assert box[2] - box[0] == pytest.approx(85 / 25.4 * 72, abs=0.1)
    assert b"/Subtype /Image" not in raw
    assert b"/FontFile2" in raw  # letters are letters
    assert sorted(p.name for p in tmp_path.iterdir()) == ["line.pdf", "line.png"]


@pytest.mark.parametrize(
    ("low", "high", "power"),
    [(8.0, 8.2, 0), (1e-4, 6e-4, -3), (0, 0.04, 0), (0.013, 0.022, -3), (0, 3e9, 9), (0, 0, 0)],
)
def test_numbers_of_a_bar_are_told_in_a_power_that_reads_well(low, high, power):
    assert maps.power_of(low, high) == power


def test_formulas_have_their_numbers_as_indices():
    assert maps.formula("Mass fraction of Li2MnO3 (a hint)") == (
        "Mass fraction of Li$_{2}$MnO$_{3}$ (a hint)"
    )
    assert maps.formula("Pause 2, 4.05 V; Al and R2") == "Pause 2, 4.05 V; Al and R2"


def test_requests_and_their_outcome_are_told(small):
    from operando.live_views.report_tables import tables_of

    region = Proposal("run-1", "r-1", "roi", small.scan(1), "particle 9 stands apart",
                      (2.0, -1.0, 10.0), 0.01, 13.0, np.nan, 99.0, 9.0)  # fmt: skip
    words = [Decision("run-1", "r-1", "approved", "automatic", "nobody vetoed it", 10.0),
             Decision("run-1", "r-1", "done", "plan", "scan 2, 1344 frames", 20.0)]  # fmt: skip
    table = next(t for t in tables_of(model_of(small, 1, region, *words)) if t.title == "Requests")
    assert table.rows == (
        ("Pause 1", "finer scan of a region, 10 µm at x 2, y −1 µm, 10 ms a frame, costs 0:13",
         "particle 9 stands apart",
         "approved by automatic: nobody vetoed it; done by plan: scan 2, 1344 frames"),
    )  # fmt: skip


def test_a_map_of_a_scan_that_ended_early_says_so_in_a_line_and_why_in_its_caption(small):
    share = 8 / small.angles
    whole = small.account(1, 1.0, closed=True)
    model = RunModel()
    for message in (
        small.start(1),
        *(dataclasses.replace(r, completeness=share)
          for r in small.results(1, 1.0, 2, final=True)),
        dataclasses.replace(whole, announced=8 * small.n, received=8 * small.n,
                            withdrawn=(small.angles - 8) * small.n,
                            why_withdrawn="not taken: map good enough after 8 projections: 0.001"),
    ):  # fmt: skip
        model.take(message)
    figure = next(f for f in figures_of(model) if f.name == "map-lattice_parameter")
    assert figure.caption.endswith("Pause 1 ended early: good enough (8 of 12 angles).")
    with journal_style():
        axes = figure.draw().figure.axes[0]
    assert "ended early, 8 of 12 angles" in {text.get_text() for text in axes.texts}
