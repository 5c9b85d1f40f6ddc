"""Particles and requests in the window: what is picked, what is shown, what is sent."""

import math

import pytest
from operando.live_views.model import RunModel
from operando.live_views.theme import DARK, configure
from operando.live_views.window import LiveWindow
from operando.stream.messages import Decision, Proposal

NOW = 1_795_000_000.0


@pytest.fixture
def sent():
    return []


@pytest.fixture
def window(qtbot, small, sent):
    configure()
    made = LiveWindow(RunModel(lambda: 5.0, lambda: NOW), DARK, sent.append)
    qtbot.addWidget(made)
    made.show()
    made.take([small.samples(small.mark_s(2) + 400)])
    for number in (1, 2):
        made.take([*small.finished_scan(number), *small.particles(number)])
        made.take([small.balance(number, 0.2 * number, 0.21 * number)])
    made.redraw()
    return made


def asked(window, id_="1"):
    nan = math.nan
    return Proposal(
        window.model.run, id_, "roi", "s", "it deviates", (1.0, -2.0, 3.0), nan, 95.0, nan,
        NOW + 60, NOW,
    )  # fmt: skip


def test_a_click_in_a_particle_opens_its_card_and_escape_closes_it(qtbot, window):
    window.pick(5, 9)
    assert window.view.particle == 9
    assert window.lower.currentWidget() is window.particle
    assert window.particle.title.text() == "Particle 9"
    assert window.particle.note.text() == "apart from the population"
    assert "8.1000(8) Å" in window.particle.numbers.text()
    assert "nan" not in window.particle.numbers.text()
    assert "particle 9: a 8.0700(7) Å" in window.cell.note.text()
    qtbot.keyClick(window, "\x1b")
    assert window.view.particle == 0
    assert window.lower.currentWidget() is not window.particle
    assert "mean of the map 0.400(4), by the charge 0.420" in window.cell.note.text()


def test_a_particle_stays_the_same_one_in_every_pause(qtbot, window):
    window.pick(5, 3)
    window.view.step(window.model, -1)
    window.redraw()
    assert window.particle.title.text() == "Particle 4"


def test_the_card_says_why_it_is_empty(window, small):
    window.pick(0, 0)
    assert window.particle.empty.text() == "click a particle in the map"
    window.view.particle = 77
    window.redraw()
    assert window.particle.empty.text() == "particle 77 is not in this pause"


def test_outlines_can_be_taken_away(qtbot, window):
    assert len(window.map.canvas.outlines._texts) == 2
    qtbot.keyClick(window, "o")
    assert window.map.canvas.outlines._texts == []


def test_a_new_request_is_seen_and_a_veto_is_sent_but_holds_only_when_it_comes_back(
    qtbot, window, sent
):
    window.take([asked(window)])
    window.redraw()
    shown = window.next.requests.list
    assert window.next.tab.text() == "requests: 1 waiting"
    assert window.next.pages.currentWidget() is window.next.requests
    for words in ("it deviates", "3 µm at x 1, y −2 µm", "costs 1:35", "proposed"):
        assert words in shown.toPlainText()
    qtbot.keyClick(window, "v")
    assert sent == [Decision(window.model.run, "1", "vetoed", "window", "by hand", NOW)]
    assert "veto sent" in shown.toPlainText()
    assert window.model.requests.get("1").state == "proposed"
    window.take(sent)
    window.redraw()
    assert "vetoed by window: by hand" in " ".join(shown.toPlainText().split("\n"))
    assert not window.next.requests.veto.isEnabled()


def test_nothing_is_decided_that_is_not_seen_or_where_control_is_not_allowed(
    qtbot, window, sent, small
):
    window.take([asked(window)])
    window.redraw()
    window.next.tab.setChecked(False)
    qtbot.keyClick(window, "a")
    assert sent == []
    onlooker = LiveWindow(RunModel(lambda: 5.0, lambda: NOW), DARK)
    qtbot.addWidget(onlooker)
    onlooker.show()
    onlooker.take([small.start(1), asked(window)])
    onlooker.redraw()
    assert not onlooker.next.requests.veto.isVisible()
    qtbot.keyClick(onlooker, "v")
    assert "proposed" in onlooker.next.requests.list.toPlainText()
