import numpy as np
import pytest
from operando.live_views.report import write_report
from PySide6 import QtGui


def run_of(synthetic, pauses):
    yield synthetic.samples(synthetic.mark_s(pauses) + 400)
    for number in range(1, pauses + 1):
        yield from synthetic.finished_scan(number)
        yield from synthetic.particles(number)


def colours(path):
    image = QtGui.QImage(str(path)).convertToFormat(QtGui.QImage.Format.Format_RGBX8888)
    return len(np.unique(np.frombuffer(image.constBits(), np.uint32)))


def test_a_report_has_a_figure_of_everything_and_its_numbers(qapp, small, tmp_path):
    written = write_report(run_of(small, 3), tmp_path)
    names = {p.name for p in written}
    assert {"report.png", "report.html", "report.md", "map-lattice_parameter.png", "histograms.png",
            "cell.png", "patterns.png", "sinograms.png"} <= names  # fmt: skip
    for path in written:
        if path.suffix == ".png":
            assert colours(path) > 20
            if path.name != "report.png":
                assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    table = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| 2 | 4.0500 |" in table
    assert "180" in table
    assert len((tmp_path / "particles.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * 3
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<tr>") == 4
    assert 'src="map-lattice_parameter.png"' in page


def test_a_run_with_more_pauses_than_fit_side_by_side_goes_on_below(qapp, small, tmp_path):
    small.pauses = 5
    write_report(run_of(small, 5), tmp_path)
    image = QtGui.QImage(str(tmp_path / "map-lattice_parameter.png"))
    assert image.height() > 0.45 * image.width()


def test_a_report_of_an_aborted_first_scan_still_says_what_there_is(qapp, small, tmp_path):
    messages = [*small.growing_scan(1, 0.3), small.stop(1, "aborted")]
    written = write_report(messages, tmp_path)
    assert "54" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert any(p.name == "report.png" for p in written)


def test_without_a_scan_there_is_no_report(tmp_path):
    with pytest.raises(ValueError, match="needs a scan"):
        write_report([], tmp_path)
