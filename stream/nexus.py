"""The layout of a run's NeXus/HDF5 file: where each message stands, written and read side by side.

    /                            @default entry, @operando_run 1
      entry                      NXentry, @default the newest map
        title, start_time, end_time, experiment (the YAML text)
        potentiostat             NXdata: voltage, current, charge, ... against time
        documents                NXcollection: name, run, text (JSON), one element a document
        scan_0001                NXsubentry, one a scan
          instrument/detector    NXdetector: data, written, checksum, time, pixel_mask, ...
          trajectory             NXcollection: grid, planned/AXIS, measured/AXIS
          CONSUMER               NXprocess
            RESULT               NXdata
          stop, account          JSON
        CONSUMER_RESULT          NXdata: a map of every scan, axes (scan, y, x)

Every write_... has its read_... that gives the same message back; recorder.py decides when to
write, run_file.py reads. docs/reference/run-file.md is the description for people.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import h5py
import numpy as np

from .messages import (
    Account,
    Axis,
    CellState,
    Detector,
    GroupAccount,
    Result,
    ScanStart,
    ScanStop,
    Trajectory,
)
from .reasons import from_ranges, to_ranges

FORMAT = 1
TEXT = h5py.string_dtype()
CELL_UNITS = {
    "time_s": "s",
    "voltage_v": "V",
    "current_a": "A",
    "charge_ah": "A h",
    "temperature_c": "deg C",
}


def scan_group(number: int) -> str:
    """Name of a scan's group under /entry."""
    return f"scan_{number:04d}"


def frames_dataset(number: int) -> str:
    """Where in the file the frames of a scan will stand, for documents that point there."""
    return f"/entry/{scan_group(number)}/instrument/detector/data"


def new_group(
    parent: h5py.Group, name: str, nx_class: str, *, ordered: bool = False, **attrs: object
) -> h5py.Group:
    """Make group name of this NeXus class. ordered: it remembers the order of its members."""
    group = parent.create_group(name, track_order=ordered)
    group.attrs["NX_class"] = nx_class
    for key, value in attrs.items():
        group.attrs[key] = value
    return group


def put_dataset(group: h5py.Group, name: str, value: object, units: str = "") -> h5py.Dataset:
    """Make dataset name; text becomes UTF-8 text of fixed length (why: see table.py)."""
    if isinstance(value, str):
        encoded = value.encode()
        fixed = h5py.string_dtype("utf-8", max(1, len(encoded)))
        return group.create_dataset(name, data=np.bytes_(encoded), dtype=fixed)
    dataset = group.create_dataset(name, data=value)
    if units:
        dataset.attrs["units"] = units
    return dataset


def text_of(group: h5py.Group, name: str) -> str:
    """The text in dataset name."""
    value = group[name][()]
    return value.decode() if isinstance(value, bytes) else str(value)


def iso_time(unix_s: float) -> str:
    """unix_s [s] as NeXus writes times."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat()


def write_start(entry: h5py.Group, name: str, start: ScanStart) -> h5py.Group:
    """Make the group of a scan."""
    scan = new_group(entry, name, "NXsubentry", run=start.run, scan=start.scan)
    put_dataset(scan, "title", f"scan {start.number}: {start.technique}")
    put_dataset(scan, "start_time", iso_time(start.time))
    put_dataset(scan, "time", start.time, "s")
    put_dataset(scan, "number", start.number)
    put_dataset(scan, "technique", start.technique)
    put_dataset(scan, "frames", start.frames)
    put_dataset(scan, "notes", json.dumps(start.notes))
    put_dataset(scan, "poni", start.poni)
    instrument = new_group(scan, "instrument", "NXinstrument")
    put_dataset(new_group(instrument, "beam", "NXbeam"), "incident_energy", start.energy_ev, "eV")
    _write_detector(new_group(instrument, "detector", "NXdetector"), start)
    trajectory = new_group(scan, "trajectory", "NXcollection")
    put_dataset(trajectory, "grid", np.array(start.trajectory.grid, np.int64))
    planned = new_group(trajectory, "planned", "NXcollection", ordered=True)
    for axis in start.trajectory.axes:
        put_dataset(planned, axis.name, axis.values, axis.unit)
    new_group(trajectory, "measured", "NXcollection")
    if start.cell is not None:
        cell = new_group(scan, "cell", "NXcollection")
        for field, units in CELL_UNITS.items():
            put_dataset(cell, field, getattr(start.cell, field), units)
        put_dataset(cell, "state", start.cell.state)
    return scan


def read_start(scan: h5py.Group) -> ScanStart:
    """The ScanStart that write_start wrote."""
    detector = scan["instrument/detector"]
    trajectory, mask = scan["trajectory"], detector.get("pixel_mask")
    cell = scan.get("cell")
    return ScanStart(
        run=str(scan.attrs["run"]),
        scan=str(scan.attrs["scan"]),
        number=int(scan["number"][()]),
        technique=text_of(scan, "technique"),
        frames=int(scan["frames"][()]),
        detector=Detector(
            name=text_of(detector, "description"),
            shape=(int(detector.attrs["rows"]), int(detector.attrs["cols"])),
            dtype=str(detector.attrs["dtype"]),
            pixel_m=(float(detector["y_pixel_size"][()]), float(detector["x_pixel_size"][()])),
            saturation=int(detector["saturation_value"][()]),
            mask=None if mask is None else mask[()].astype(np.bool_),
        ),
        trajectory=Trajectory(
            grid=tuple(int(n) for n in trajectory["grid"][()]),
            axes=tuple(
                Axis(name, str(d.attrs.get("units", "")), d[()].astype(np.float64))
                for name, d in trajectory["planned"].items()
            ),
        ),
        poni=text_of(scan, "poni"),
        energy_ev=float(scan["instrument/beam/incident_energy"][()]),
        exposure_s=float(detector["count_time"][()]),
        cell=None
        if cell is None
        else CellState(**{f: float(cell[f][()]) for f in CELL_UNITS}, state=text_of(cell, "state")),
        time=float(scan["time"][()]),
        notes=json.loads(text_of(scan, "notes")),
    )


def _write_detector(group: h5py.Group, start: ScanStart) -> None:
    detector = start.detector
    group.attrs["rows"], group.attrs["cols"] = detector.shape
    group.attrs["dtype"] = detector.dtype
    put_dataset(group, "description", detector.name)
    put_dataset(group, "count_time", start.exposure_s, "s")
    put_dataset(group, "y_pixel_size", detector.pixel_m[0], "m")
    put_dataset(group, "x_pixel_size", detector.pixel_m[1], "m")
    put_dataset(group, "saturation_value", detector.saturation)
    if detector.mask is not None:
        mask = detector.mask.astype(np.uint8)
        group.create_dataset("pixel_mask", data=mask, compression="gzip", compression_opts=1)


def write_result(parent: h5py.Group, name: str, result: Result) -> h5py.Group:
    """Make the NXdata of a result."""
    data = new_group(parent, name, "NXdata", signal=result.name)
    data.attrs["title"] = f"{result.consumer} {result.name}, scan {result.number}"
    axes = [_axis_name(result, dim) for dim in result.dims]
    if axes:
        data.attrs["axes"] = axes
    if len(result.dims) == 2:
        data.attrs["interpretation"] = "image"
    data.attrs["dims"] = np.array(result.dims, dtype=TEXT)
    data.attrs["completeness"] = result.completeness
    data.attrs["revision"] = result.revision
    data.attrs["final"] = result.final
    data.attrs["live"] = result.live
    data.attrs["attrs"] = json.dumps(result.attrs)
    values = put_dataset(data, result.name, result.values, result.unit)
    for key, value in result.attrs.items():
        values.attrs[key] = value
    if result.uncertainty is not None:
        put_dataset(data, f"{result.name}_errors", result.uncertainty, result.unit)
    coords = new_group(data, "coordinates", "NXcollection", ordered=True)
    for coord, points in result.coords.items():
        stored = put_dataset(coords, coord, points, result.units.get(coord, ""))
        stored.attrs["has_units"] = coord in result.units
        if coord in result.dims and coord != result.name:
            data[coord] = stored
    return data


def _axis_name(result: Result, dim: str) -> str:
    return dim if dim in result.coords and dim != result.name else "."


def read_result(data: h5py.Group, start: ScanStart, consumer: str) -> Result:
    """The Result that write_result wrote."""
    name = str(data.attrs["signal"])
    coords = data["coordinates"]
    errors = data.get(f"{name}_errors")
    return Result(
        run=start.run,
        scan=start.scan,
        number=start.number,
        consumer=consumer,
        name=name,
        dims=tuple(str(d) for d in data.attrs["dims"]),
        coords={c: d[()] for c, d in coords.items()},
        units={c: str(d.attrs.get("units", "")) for c, d in coords.items() if d.attrs["has_units"]},
        unit=str(data[name].attrs.get("units", "")),
        values=np.asarray(data[name][()]),
        uncertainty=None if errors is None else np.asarray(errors[()]),
        completeness=float(data.attrs["completeness"]),
        revision=int(data.attrs["revision"]),
        final=bool(data.attrs["final"]),
        live=bool(data.attrs["live"]),
        attrs=json.loads(data.attrs["attrs"]),
    )


def stop_text(stop: ScanStop) -> str:
    """A ScanStop as JSON; lost: reason -> [[first, last], ...]."""
    return json.dumps({**_fields(stop), "lost": _by_reason(stop.lost)})


def stop_of(text: str) -> ScanStop:
    """The ScanStop in text."""
    raw = json.loads(text)
    dropped = tuple(map(str, raw.get("dropped", ())))
    return ScanStop(raw["scan"], int(raw["frames"]), raw["reason"], _by_index(raw["lost"]), dropped)


def account_text(account: Account) -> str:
    """An Account as JSON; lost, and failed of each group: reason -> [[first, last], ...]."""
    groups = [{**_fields(g), "failed": _by_reason(g.failed)} for g in account.groups]
    return json.dumps({**_fields(account), "lost": _by_reason(account.lost), "groups": groups})


def account_of(text: str) -> Account:
    """The Account in text."""
    raw = json.loads(text)
    groups = tuple(
        GroupAccount(g["name"], int(g["done"]), _by_index(g["failed"])) for g in raw.pop("groups")
    )
    dropped = tuple(map(str, raw.get("dropped", ())))
    return Account(**{**raw, "lost": _by_index(raw["lost"]), "groups": groups, "dropped": dropped})


def _fields(message: ScanStop | Account | GroupAccount) -> dict[str, Any]:
    return {f.name: getattr(message, f.name) for f in dataclasses.fields(message)}


def _by_reason(reasons: Mapping[int, str]) -> dict[str, list[list[int]]]:
    words, table = to_ranges(reasons)
    return {why: table[table[:, 2] == place, :2].tolist() for place, why in enumerate(words)}


def _by_index(raw: Mapping[str, Sequence[Sequence[int]]]) -> dict[int, str]:
    rows = [(*span, place) for place, spans in enumerate(raw.values()) for span in spans]
    return from_ranges(list(raw), np.array(sorted(rows), np.int64).reshape(-1, 3))
