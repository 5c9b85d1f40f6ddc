"""`operando process --frames` on measured frames: the figures of the whole path."""

from __future__ import annotations

import numpy as np
import pytest
from measured import DATA
from operando.stream.run_file import open_run
from whole_run import run

FRAMES = DATA / "frames"
CEO2_A = 5.41165  # lattice parameter of CeO2, NIST SRM 674b [Å]
FE3O4_PONI = """poni_version: 2.1
Detector: Detector
Detector_config: {"pixel1": 0.000172, "pixel2": 0.000172, "orientation": 3}
Distance: 0.284634930882
Poni1: 0.08722
Poni2: 0.08342
Rot1: -0.000251
Rot2: 0.000603
Rot3: 0.0
Wavelength: 3.344e-11
"""

pytestmark = [
    pytest.mark.skipif(not FRAMES.is_dir(), reason=f"no measured data at {DATA}"),
    pytest.mark.timeout(170),
]


def test_rings_of_the_calibrant_are_where_its_certificate_says(tmp_path):
    done = run(
        tmp_path / "out", "process",
        "--frames", FRAMES / "ndtomo_CeO2_pilatus2M_CdTe.cbf",
        "--poni", FRAMES / "ndtomo_CeO2_pilatus2M_CdTe.poni",
        "--mask", FRAMES / "ndtomo_mask_pilatus2M.edf.gz",
        "--span", 1.6, 12.2,
    )  # fmt: skip
    assert done.code == 0, done.said
    with open_run(tmp_path / "out" / "run.nxs") as recorded:
        (peaks,) = [r for r in recorded.results() if r.name == "peaks"]
    found = peaks.values[np.isfinite(peaks.values)]
    h = np.arange(0, 14)
    square = np.unique(
        [
            a * a + b * b + c * c
            for a in h
            for b in h
            for c in h
            if a % 2 == b % 2 == c % 2 and a + b + c > 0  # face-centred cubic
        ]
    )
    certified = 2 * np.pi * np.sqrt(square) / CEO2_A
    nearest = certified[np.abs(certified[:, None] - found).argmin(axis=0)]
    deviation = np.abs(found / nearest - 1)
    rings = deviation < 2e-3  # others are spurious or not of the calibrant
    assert rings.sum() >= 25
    assert rings.mean() > 0.8
    assert np.median(deviation[rings]) < 250e-6


def test_patterns_of_the_map_are_those_of_its_reference(tmp_path):
    poni = tmp_path / "map.poni"
    poni.write_text(FE3O4_PONI)
    done = run(
        tmp_path / "out", "process", "--frames", FRAMES / "Fe3O4C_map", "--poni", poni,
        "--orientation", "flip-ud", "--negatives", "zero", "--split",
        "--axis", "two_theta", "--bins", 1508, "--span", 0, 23.774546,
    )  # fmt: skip
    assert done.code == 0, done.said
    for number in (1, 2, 6, 7):
        name = f"Fe3O4C_M1_map_{number}_P1_E1_001.xy"
        reference = np.loadtxt(FRAMES / "Fe3O4C_map" / name)
        ours = np.loadtxt(tmp_path / "out" / name)
        known = np.isfinite(ours[:, 1])
        values = np.interp(reference[:, 0], ours[known, 0], ours[known, 1])
        assert np.corrcoef(values, reference[:, 1])[0, 1] > 0.9999
        assert np.median(np.abs(values / reference[:, 1] - 1)) < 1e-3


def test_without_the_orientation_the_patterns_are_wrong(tmp_path):
    poni = tmp_path / "map.poni"
    poni.write_text(FE3O4_PONI)
    name = "Fe3O4C_M1_map_1_P1_E1_001"
    done = run(
        tmp_path / "out", "process", "--frames", FRAMES / "Fe3O4C_map" / f"{name}.tif.gz",
        "--poni", poni, "--axis", "two_theta", "--bins", 1508, "--span", 0, 23.774546,
    )  # fmt: skip
    assert done.code == 0, done.said
    reference = np.loadtxt(FRAMES / "Fe3O4C_map" / f"{name}.xy")
    ours = np.loadtxt(tmp_path / "out" / f"{name}.xy")
    known = np.isfinite(ours[:, 1])
    values = np.interp(reference[:, 0], ours[known, 0], ours[known, 1])
    assert np.corrcoef(values, reference[:, 1])[0, 1] < 0.999


def test_a_broken_file_costs_its_own_frame(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in (1, 2):
        name = f"Fe3O4C_M1_map_{number}_P1_E1_001.tif.gz"
        (frames / name).write_bytes((FRAMES / "Fe3O4C_map" / name).read_bytes())
    (frames / "Fe3O4C_M1_map_3_broken.tif.gz").write_bytes(b"\x1f\x8b broken")
    poni = tmp_path / "map.poni"
    poni.write_text(FE3O4_PONI)
    done = run(
        tmp_path / "out", "process", "--frames", frames, "--poni", poni, "--orientation", "flip-ud"
    )
    assert done.code == 1
    assert "left out: " in done.said
    assert "map_3_broken" in done.said
    assert done.summary()["account"] == {
        "announced": 3, "received": 2, "recorded": 2, "in_results": 2, "lost": 1, "failed": 0
    }  # fmt: skip
    assert len(list((tmp_path / "out").glob("*.xy"))) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--frames", "nowhere"], "--poni"),
        (["--frames", "nowhere", "--poni", "none.poni"], "none.poni"),
        ([], "--frames"),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path, arguments, words):
    done = run(tmp_path / "out", "process", *arguments)
    assert done.code == 2
    assert words in done.said
    assert len(done.said.strip().splitlines()) == 1
