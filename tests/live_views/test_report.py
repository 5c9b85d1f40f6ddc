import pytest
from operando.live_views.report import write_report


def run_of(synthetic, pauses):
    yield synthetic.samples(synthetic.mark_s(pauses) + 400)
    for number in range(1, pauses + 1):
        yield from synthetic.finished_scan(number)
        yield from synthetic.particles(number)


def test_a_report_has_figures_with_captions_and_its_numbers(small, tmp_path):
    written = write_report(run_of(small, 2), tmp_path)
    names = {p.name for p in written}
    assert {"report.html", "report.md", "particles.csv", "evolution.png", "evolution.pdf",
            "particles.png", "particle-9.pdf", "cell.png", "patterns.png"} <= names  # fmt: skip
    assert "map-lattice_parameter.png" not in names  # drawn where it is asked for
    assert names == {p.name for p in tmp_path.iterdir()}
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| Pause 2 | 4.0500 |" in text
    assert "| Pause 2 | 9 | apart from the population | 8.1000(8) Å |" in text
    assert "![Particle 9](particle-9.png)" in text
    assert len((tmp_path / "particles.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * 2
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("<tr>") == 3 + 5
    for path in written:
        if path.suffix == ".png":
            assert f'src="{path.name}"' in page
            assert f'href="{path.stem}.pdf"' in page


def test_a_figure_can_be_had_alone_by_name_or_pattern(small, tmp_path):
    messages = list(run_of(small, 1))
    one = write_report(messages, tmp_path, ["cell", "map-peak_*"])
    assert sorted(p.name for p in one) == [
        "cell.pdf", "cell.png", "map-peak_intensity.pdf", "map-peak_intensity.png",
        "map-peak_width.pdf", "map-peak_width.png",
    ]  # fmt: skip
    with pytest.raises(ValueError, match=r"no figure 'evolutoin'; it has evolution, histograms"):
        write_report(messages, tmp_path, ["evolutoin"])


def test_a_report_of_an_aborted_first_scan_still_says_what_there_is(small, tmp_path):
    write_report([*small.growing_scan(1, 0.3), small.stop(1, "aborted")], tmp_path)
    assert "54" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert (tmp_path / "maps-1.png").is_file()


def test_without_a_scan_there_is_no_report(tmp_path):
    with pytest.raises(ValueError, match="needs a scan"):
        write_report([], tmp_path)
