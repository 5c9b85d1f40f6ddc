"""The place of a result in the run's file: scan / consumer / name, and nothing else's place."""

from __future__ import annotations

import h5py

from .messages import Result
from .nexus import new_group, put_dataset, write_result


def put_result(scan: h5py.Group, result: Result) -> None:
    """Write a result in place of its earlier version.

    Raises ValueError where its consumer or name would lead to something that is no result.
    """
    if not _free_for(scan, result.consumer, "NXprocess"):
        raise ValueError(f"a consumer cannot be called {result.consumer!r} in the file")
    if result.consumer not in scan:
        process = new_group(scan, result.consumer, "NXprocess")
        put_dataset(process, "program", "operando")
    process = scan[result.consumer]
    if not _free_for(process, result.name, "NXdata"):
        raise ValueError(f"a result cannot be called {result.name!r} in the file")
    if result.name in process:
        del process[result.name]
    write_result(process, result.name, result)


def _free_for(group: h5py.Group, name: str, nx_class: str) -> bool:
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        return False
    found = group.get(name)
    return found is None or found.attrs.get("NX_class") == nx_class
