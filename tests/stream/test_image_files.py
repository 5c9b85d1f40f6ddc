"""Detector files into scans, frames and stops."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import fabio
import h5py
import hdf5plugin
import numpy as np
import pytest
from fabio.cbfimage import CbfImage
from fabio.edfimage import EdfImage
from fabio.tifimage import TifImage
from operando.stream.compression import decode
from operando.stream.description import GridAxis, ScanDescription
from operando.stream.image_files import ORIENTATIONS, frames_from_files
from operando.stream.image_readers import UnreadableImage
from operando.stream.messages import Frame, ScanStart, ScanStop

SHAPE = (20, 31)
IMAGES = [np.random.default_rng(s).poisson(5, SHAPE).astype(np.int32) for s in range(4)]
WRITERS = {".cbf": CbfImage, ".tif": TifImage, ".edf": EdfImage}
PONI = """# Nota: C-Order, 1 refers to the Y axis, 2 to the X axis
PixelSize1: 0.0001
PixelSize2: 0.0001
Wavelength: 1.0e-10
# a later calibration, appended
PixelSize1: 0.000172
PixelSize2: 0.000175
Wavelength: 2.4796839680e-11
"""


def write(folder: Path, suffix: str = ".cbf", images: list[np.ndarray] = IMAGES) -> list[Path]:
    paths = []
    for number, image in enumerate(images):
        path = folder / f"scan_{number + 8}{suffix}"  # 8, 9, 10, 11: natural, not text, order
        WRITERS[suffix](data=image).write(str(path))
        paths.append(path)
    return paths


def take(*args: object, **options: object) -> tuple[ScanStart, dict[int, Frame], ScanStop]:
    start, *frames, stop = frames_from_files(*args, **options)
    assert isinstance(start, ScanStart)
    assert isinstance(stop, ScanStop)
    assert start.frames == stop.frames + len(stop.lost)
    assert {f.scan for f in frames} | {stop.scan} == {start.scan}
    assert stop.frames == len(frames)
    return start, {f.index: f for f in frames}, stop


def expect(frames: dict[int, Frame], images: list[np.ndarray]) -> None:
    assert len(frames) == len(images)
    for index, image in enumerate(images):
        np.testing.assert_array_equal(decode(frames[index], verify=True), image)


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("encoding", ["raw", "bslz4"])
def test_a_folder_is_read_in_natural_order(tmp_path, suffix, encoding):
    write(tmp_path, suffix)
    (tmp_path / "notes.txt").write_text("not an image")
    start, frames, stop = take(tmp_path, "", "identity", "run-1", encoding=encoding)
    expect(frames, IMAGES)
    assert (stop.reason, stop.lost) == ("complete", {})
    assert (start.run, start.technique, start.frames) == ("run-1", "frames", 4)
    assert (start.detector.shape, start.detector.dtype) == (SHAPE, "uint32")
    np.testing.assert_array_equal(start.trajectory.axis("frame").values, np.arange(4))
    assert frames[0].encoding == encoding


def test_gzipped_files_are_read(tmp_path):
    for path in write(tmp_path, ".edf"):
        with gzip.open(f"{path}.gz", "wb") as packed:
            packed.write(path.read_bytes())
        path.unlink()
    expect(take(tmp_path)[1], IMAGES)


def test_files_keep_the_order_they_are_given_in(tmp_path):
    paths = write(tmp_path)
    expect(take(paths[::-1])[1], IMAGES[::-1])


def test_several_images_in_each_edf_file(tmp_path):
    for name, images in (("a.edf", IMAGES[:2]), ("b.edf", IMAGES[2:])):
        edf = EdfImage(data=images[0])
        edf.append_frame(data=images[1])
        edf.write(str(tmp_path / name))
    expect(take(tmp_path)[1], IMAGES)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_images_and_masks_are_turned_together(tmp_path, orientation):
    turn = ORIENTATIONS[orientation]
    images = [image.copy() for image in IMAGES]
    images[0][3, 4] = -1
    (tmp_path / "images").mkdir()
    paths = write(tmp_path / "images", images=images)
    flags = np.zeros(SHAPE, np.uint8)
    flags[0, :7] = 1
    EdfImage(data=flags).write(str(tmp_path / "mask.edf"))
    start, frames, _ = take(paths, "", orientation, mask=tmp_path / "mask.edf")
    for index in range(1, 4):
        np.testing.assert_array_equal(decode(frames[index]), turn(images[index]))
    np.testing.assert_array_equal(start.detector.mask, turn((flags != 0) | (images[0] < 0)))
    assert start.detector.shape == decode(frames[0]).shape


def test_orientations_mean_what_their_names_say():
    corner = np.zeros((2, 3), int)
    corner[0, 0] = 1  # the first pixel as stored
    places = {name: tuple(np.argwhere(turn(corner))[0]) for name, turn in ORIENTATIONS.items()}
    assert places == {
        "identity": (0, 0),
        "flip-ud": (1, 0),
        "flip-lr": (0, 2),
        "rotate-90": (2, 0),
        "rotate-180": (1, 2),
        "rotate-270": (0, 1),
        "transpose": (0, 0),
        "anti-transpose": (2, 1),
    }


def test_negative_pixels_become_the_largest_value_wherever_they_are(tmp_path):
    images = [image.copy() for image in IMAGES[:2]]
    images[0][2, 2] = -2
    images[1][5, 5] = -1  # not negative in the first image, so not in the static mask
    start, frames, _ = take(write(tmp_path, images=images))
    assert np.argwhere(start.detector.mask).tolist() == [[2, 2]]
    for index, image in enumerate(images):
        pixels = decode(frames[index])
        np.testing.assert_array_equal(pixels[image < 0], 2**32 - 1)
        np.testing.assert_array_equal(pixels[image >= 0], image[image >= 0])
    assert start.detector.saturation <= 2**32 - 1


def test_energy_and_pixel_come_from_the_last_calibration(tmp_path):
    start, _, _ = take(write(tmp_path), PONI)
    assert start.energy_ev == pytest.approx(50_000.0)
    assert start.detector.pixel_m == (0.000172, 0.000175)
    assert start.poni == PONI


def test_the_pixel_of_a_newer_calibration_stands_in_its_detector_config(tmp_path):
    poni = 'Detector: Detector\nDetector_config: {"pixel1": 7.5e-05, "pixel2": 7.6e-05}\n'
    start, _, _ = take(write(tmp_path), poni)
    assert start.detector.pixel_m == (7.5e-05, 7.6e-05)
    assert np.isnan(start.energy_ev)


def test_a_pilatus_header_gives_cutoff_and_exposure(tmp_path):
    path = tmp_path / "p.cbf"
    contents = "# Exposure_time 0.9970000 s\r\n# Count_cutoff 1009869 counts\r\n"
    image = CbfImage(data=IMAGES[0], header={"_array_data.header_contents": contents})
    image.write(str(path))
    start, _, _ = take(path)
    assert (start.detector.saturation, start.exposure_s) == (1009869, 0.997)
    start, _, _ = take(path, saturation=500, exposure_s=2.0)
    assert (start.detector.saturation, start.exposure_s) == (500, 2.0)


def test_an_unreadable_file_costs_its_own_image_by_name(tmp_path):
    paths = write(tmp_path)
    paths[0].write_bytes(b"no image at all")
    paths[2].write_bytes(paths[2].read_bytes()[:400])
    missing = tmp_path / "scan_12.cbf"
    _, frames, stop = take([*paths, missing])
    assert sorted(frames) == [1, 3]
    assert sorted(stop.lost) == [0, 2, 4]
    for index, name in ((0, "scan_8.cbf"), (2, "scan_10.cbf"), (4, "scan_12.cbf")):
        assert stop.lost[index].startswith(name)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_file_cut_anywhere_is_lost_and_never_half_read(tmp_path, suffix):
    first, second = write(tmp_path, suffix, IMAGES[:2])
    whole = second.read_bytes()
    # The last bytes of a CBF close its section, those of a TIFF may be padding: no pixels
    for length in range(0, len(whole) - 600, 50):
        second.write_bytes(whole[:length])
        _, frames, stop = take([first, second])
        assert (list(frames), list(stop.lost)) == ([0], [1])
        assert stop.lost[1].startswith(second.name)


def test_a_cbf_whose_md5_is_wrong_is_lost(tmp_path):
    first, second = write(tmp_path, images=IMAGES[:2])
    whole = bytearray(second.read_bytes())
    whole[whole.index(b"\x0c\x1a\x04\xd5") + 50] ^= 1
    second.write_bytes(bytes(whole))
    _, frames, stop = take([first, second])
    assert list(frames) == [0]
    assert stop.lost == {1: "scan_9.cbf: its image does not match its md5"}


def test_an_image_of_another_size_or_type_is_lost_by_name(tmp_path):
    images = [IMAGES[0], IMAGES[1][:-1], IMAGES[2], IMAGES[3].astype(np.float32)]
    paths = write(tmp_path, ".tif", images)
    _, frames, stop = take(paths)
    assert sorted(frames) == [0, 2]
    assert "scan_9.tif is (19, 31) uint32, the scan is (20, 31) uint32" in stop.lost[1]
    assert "scan_11.tif: float32 pixels, counts are needed" in stop.lost[3]


def test_without_any_image_there_is_an_error_that_says_what_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image in .*looked for \.cbf"):
        frames_from_files(tmp_path)
    with pytest.raises(FileNotFoundError, match="an empty list"):
        frames_from_files([])
    (tmp_path / "a.cbf").write_bytes(b"nothing")
    with pytest.raises(UnreadableImage, match=r"none of 1 images can be read; first: a\.cbf"):
        list(frames_from_files(tmp_path))


def test_what_does_not_fit_is_refused_before_the_first_message(tmp_path):
    paths = write(tmp_path)
    with pytest.raises(ValueError, match="orientation 'upside-down' is none of identity"):
        frames_from_files(paths, "", "upside-down")
    with pytest.raises(ValueError, match="encoding 'zip' is none of raw"):
        frames_from_files(paths, encoding="zip")
    three = ScanDescription("r", "s", 1, "xrdct", (3,), (GridAxis("x", "um", 0, (0.0, 1.0, 2.0)),))
    with pytest.raises(ValueError, match="4 images, the description has 3 frames"):
        frames_from_files(paths, description=three)
    with pytest.raises(UnreadableImage, match=r"mask\.edf"):
        frames_from_files(paths, mask=tmp_path / "mask.edf")


def test_a_mask_of_another_size_is_refused_by_name(tmp_path):
    paths = write(tmp_path)
    mask = tmp_path / "mask.edf"
    EdfImage(data=np.zeros((3, 3), np.uint8)).write(str(mask))
    with pytest.raises(UnreadableImage, match=r"is \(20, 31\), the mask \(3, 3\)"):
        list(frames_from_files(paths, mask=mask))


def test_a_mask_in_the_same_folder_is_no_image_of_the_scan(tmp_path):
    write(tmp_path)
    mask = tmp_path / "mask.edf"
    EdfImage(data=np.zeros(SHAPE, np.uint8)).write(str(mask))
    assert len(take(tmp_path, mask=mask)[1]) == 4


def test_a_description_gives_the_scan_its_trajectory(tmp_path):
    grid = ScanDescription(
        *("run-9", "scan-9", 4, "xrdct", (2, 2)),
        (GridAxis("rotation", "deg", 0, (0.0, 90.0)), GridAxis("x", "um", 1, (0.0, 1.0))),
    )
    start, _, _ = take(write(tmp_path), PONI, description=grid, notes={"who": "test"})
    assert (start.run, start.scan, start.number, start.technique) == ("run-9", "scan-9", 4, "xrdct")
    np.testing.assert_array_equal(start.trajectory.axis("rotation").values, [0, 0, 90, 90])
    assert start.poni == PONI
    assert start.notes["who"] == "test"


STACK = np.stack(IMAGES).astype(np.uint16)
FILTERS = {
    "bslz4": hdf5plugin.Bitshuffle(nelems=0, cname="lz4"),
    "lz4": hdf5plugin.LZ4(),
    "zstd": hdf5plugin.Zstd(),
    "bszstd": hdf5plugin.Bitshuffle(nelems=0, cname="zstd"),
    "none": {},
}


def write_hdf5(path: Path, where: str, how: str = "bslz4", stack: np.ndarray = STACK) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset(where, data=stack, chunks=(1, *stack.shape[1:]), **FILTERS[how])
    return path


@pytest.mark.parametrize("how", FILTERS)
@pytest.mark.parametrize("where", ["/entry/data/data", "/entry/instrument/detector/data", "/x/y"])
def test_hdf5_images_are_found_and_read(tmp_path, where, how):
    path = write_hdf5(tmp_path / "run.h5", where, how)
    start, frames, _ = take(path)
    expect(frames, IMAGES)
    assert start.detector.dtype == "uint16"
    assert frames[1].encoding == (how if how in ("bslz4", "lz4") else "raw")


def test_chunks_are_handed_on_as_they_lie(tmp_path):
    path = write_hdf5(tmp_path / "run.h5", "/entry/data/data")
    with h5py.File(path) as file:
        stored = [file["/entry/data/data"].id.read_direct_chunk((n, 0, 0))[1] for n in range(4)]
    _, frames, _ = take(path)
    assert [bytes(frames[n].data) for n in range(4)] == stored


def test_chunks_are_decoded_where_they_must_be_turned(tmp_path):
    path = write_hdf5(tmp_path / "run.h5", "/entry/data/data")
    _, frames, _ = take(path, "", "flip-ud")
    expect(frames, [image[::-1] for image in IMAGES])


def test_signed_hdf5_images_lose_their_negatives_too(tmp_path):
    stack = np.stack(IMAGES)
    stack[1, 0, 0] = -1
    path = write_hdf5(tmp_path / "run.h5", "/entry/data/data", stack=stack)
    _, frames, _ = take(path)
    assert decode(frames[1])[0, 0] == 2**32 - 1


def test_the_detectors_own_mask_in_the_file_is_used(tmp_path):
    path = write_hdf5(tmp_path / "run.h5", "/entry/data/data")
    flags = np.zeros(SHAPE, np.uint32)
    flags[4, 4] = 8
    with h5py.File(path, "a") as file:
        file["/entry/instrument/detector/pixel_mask"] = flags
    start, _, _ = take(path)
    assert np.argwhere(start.detector.mask).tolist() == [[4, 4]]


def test_a_master_file_and_its_data_files_give_each_image_once(tmp_path):
    for number in (1, 2):
        part = STACK[2 * number - 2 : 2 * number]
        write_hdf5(tmp_path / f"run_data_{number:06d}.h5", "/entry/data/data", stack=part)
    with h5py.File(tmp_path / "run_master.h5", "w") as file:
        for number in (1, 2):
            link = h5py.ExternalLink(f"run_data_{number:06d}.h5", "/entry/data/data")
            file[f"/entry/data/data_{number:06d}"] = link
    _, frames, _ = take(tmp_path)
    expect(frames, IMAGES)
    assert frames[3].encoding == "bslz4"


def test_a_dataset_can_be_named_where_there_are_several(tmp_path):
    path = write_hdf5(tmp_path / "run.h5", "/a")
    with h5py.File(path, "a") as file:
        file["b"] = STACK[:2] + 1
    with pytest.raises(UnreadableImage, match="2 stacks of images in it, name one"):
        list(frames_from_files(path))
    expect(take(path, dataset="/a")[1], IMAGES)
    expect(take(path, dataset="/b")[1], [image + 1 for image in IMAGES[:2]])
    with pytest.raises(UnreadableImage, match="/c in it is no image"):
        list(frames_from_files(path, dataset="/c"))


def test_an_image_that_was_never_written_is_lost_and_no_phantom(tmp_path):
    path = tmp_path / "run.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "/entry/data/data", (4, *SHAPE), "u2", chunks=(1, *SHAPE), **FILTERS["bslz4"]
        )
        data[0], data[2] = STACK[0], STACK[2]
    _, frames, stop = take(path)
    assert sorted(frames) == [0, 2]
    assert list(stop.lost) == [1, 3]
    assert "run.h5/entry/data/data[1] was never written" in stop.lost[1]


def test_a_damaged_chunk_is_lost_and_costs_no_other(tmp_path):
    path = write_hdf5(tmp_path / "run.h5", "/entry/data/data")
    with h5py.File(path, "a") as file:
        data = file["/entry/data/data"]
        _, sound = data.id.read_direct_chunk((2, 0, 0))
        data.id.write_direct_chunk((2, 0, 0), sound[:12] + b"\xff\xff\xff\xff" + sound[16:])
    _, frames, stop = take(path)
    assert sorted(frames) == [0, 1, 3]
    assert "run.h5/entry/data/data[2]: block 0 of 1 claims" in stop.lost[2]


def test_a_broken_hdf5_file_among_others_is_lost_by_name(tmp_path):
    write_hdf5(tmp_path / "a.h5", "/entry/data/data")
    shutil.copy(tmp_path / "a.h5", tmp_path / "c.h5")
    (tmp_path / "b.h5").write_bytes(b"not HDF5")
    _, frames, stop = take(tmp_path)
    assert len(frames) == 8
    assert list(stop.lost) == [4]
    assert stop.lost[4].startswith("b.h5: ")


def test_fabio_reads_back_what_these_tests_wrote(tmp_path):
    for suffix in WRITERS:
        path = write(tmp_path, suffix)[0]
        with fabio.open(str(path)) as image:
            np.testing.assert_array_equal(image.data, IMAGES[0])
