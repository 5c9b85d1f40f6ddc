"""Compiled kernels are code that numba reads from a folder: nobody else may write there.

Numba keeps them pickled, and whoever can put a file into that folder runs code as the user. So a
part does not start on such a folder.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path
from typing import Any


def cache_fault() -> str:
    """Why compiled kernels cannot be trusted here, in a line; "" where they can."""
    from ..consumers.kernels.decode import decode_bslz4
    from ..sim.poisson import poisson_frame

    kernels: tuple[Any, ...] = (decode_bslz4, poisson_frame)
    for kernel in kernels:
        folder = Path(getattr(getattr(kernel, "_cache", None), "cache_path", None) or os.devnull)
        if folder.is_dir() and (who := others_who_write(folder)):
            return (
                f"compiled kernels are kept in {folder}, where {who} can write: that is code which "
                "runs as you; take that right away, or set NUMBA_CACHE_DIR to a folder of your own"
            )
    return ""


def require_own_cache() -> None:
    """Exit with a line where others can write the folder of compiled kernels."""
    if fault := cache_fault():
        raise SystemExit(f"operando: {fault}")


def others_who_write(folder: Path) -> str:
    """Who else may put files into folder, or another folder in its place; "" for nobody."""
    above = folder.parent
    sticky = above.stat().st_mode & stat.S_ISVTX  # there only an owner moves a folder away
    return _others(folder) or ("" if sticky else _others(above))


def _others(folder: Path) -> str:
    found = folder.stat()
    if found.st_mode & stat.S_IWOTH:
        return "everybody"
    if found.st_uid not in (os.geteuid(), 0):
        return f"user {_name_of_user(found.st_uid)}"
    group = _name_of_group(found.st_gid)
    # a group of the user's own, of the same name, is nobody else
    if found.st_mode & stat.S_IWGRP and found.st_gid and group != _name_of_user(found.st_uid):
        return f"group {group}"
    return ""


def _name_of_user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _name_of_group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
