"""Maps of all scans on top of each other: what a person sees first who opens a run's file."""

from __future__ import annotations

import h5py
import numpy as np

from .messages import Result
from .nexus import new_group, put_dataset

FIRST_CHOICE = "lattice_parameter"  # the map that the file opens at, where there is one


def stack_map(entry: h5py.Group, result: Result) -> None:
    """Lay a final map into the NXdata of its name, axes (scan, y, x), and open the file there.

    The map of a scan that is in already is replaced. Maps that are not two-dimensional, or whose
    axes differ from those of the stack, stay with their scan only.
    """
    if len(result.dims) != 2 or result.values.dtype.kind != "f" or not result.final:
        return
    if "scan" in result.dims:  # it is a history of scans already, e.g. of particles
        return
    name = f"{result.consumer}_{result.name}"
    stack = entry[name] if name in entry else _new_stack(entry, name, result)
    if stack["values"].shape[1:] != result.values.shape or not _same_axes(stack, result):
        return
    numbers = stack["scan"][()].tolist()
    if result.number in numbers:
        place = numbers.index(result.number)
    else:
        place = len(numbers)
        for dataset in ("scan", "values", "values_errors"):
            stack[dataset].resize(place + 1, axis=0)
        stack["scan"][place] = result.number
    stack["values"][place] = result.values
    missing = np.full(result.values.shape, np.nan)
    stack["values_errors"][place] = missing if result.uncertainty is None else result.uncertainty
    before = entry.attrs.get("default")
    if before in (None, "potentiostat") or result.name == FIRST_CHOICE:
        entry.attrs["default"] = name


def _new_stack(entry: h5py.Group, name: str, result: Result) -> h5py.Group:
    stack = new_group(entry, name, "NXdata", signal="values", interpretation="image")
    stack.attrs["title"] = f"{result.consumer} {result.name} of every scan"
    axes = [d if d in result.coords else "." for d in result.dims]
    stack.attrs["axes"] = ["scan", *axes]
    rows, cols = result.values.shape
    options = {"maxshape": (None, rows, cols), "chunks": (1, rows, cols), "fillvalue": np.nan}
    for dataset in ("values", "values_errors"):
        stack.create_dataset(dataset, (0, rows, cols), result.values.dtype, **options)
        stack[dataset].attrs["units"] = result.unit
    stack["values"].attrs["long_name"] = f"{result.name} ({result.unit or '1'})"
    stack.create_dataset("scan", (0,), np.int64, maxshape=(None,), chunks=(64,))
    for dim in result.dims:
        if dim in result.coords:
            put_dataset(stack, dim, result.coords[dim], result.units.get(dim, ""))
    return stack


def _same_axes(stack: h5py.Group, result: Result) -> bool:
    return all(
        d not in result.coords or (d in stack and np.array_equal(stack[d][()], result.coords[d]))
        for d in result.dims
    )
