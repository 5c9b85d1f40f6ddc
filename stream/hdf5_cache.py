"""The cache in which HDF5 keeps a file's bookkeeping: written in a flush, and only there.

Left to itself HDF5 evicts from it whenever it likes, and half of a change would be in the file when
that is committed. So it may not. Right after a flush everything in the cache is written: there
one that has grown is emptied, or it would hold the bookkeeping of the whole run.
"""

from __future__ import annotations

import h5py

KEPT_BYTES = 2 << 20
LEAST_BYTES = 1 << 10  # the smallest cache that HDF5 takes


def keep_bookkeeping(file: h5py.File) -> None:
    """Let HDF5 evict nothing from the cache of file."""
    config = file.id.get_mdc_config()
    config.evictions_enabled = False
    config.incr_mode = config.decr_mode = config.flash_incr_mode = 0  # HDF5 asks for that
    file.id.set_mdc_config(config)


def forget_bookkeeping(file: h5py.File, above: int | None = None) -> None:
    """Empty the cache of a file that has just been flushed, where it is larger: nothing is written.

    above: [B]; None = KEPT_BYTES
    """
    if file.id.get_mdc_size()[2] <= (KEPT_BYTES if above is None else above):
        return
    config = file.id.get_mdc_config()
    size = config.initial_size
    config.evictions_enabled = config.set_initial_size = True
    config.initial_size = config.min_size = LEAST_BYTES
    file.id.set_mdc_config(config)
    file.attrs.get(
        "default"
    )  # at the next access HDF5 evicts what the smaller cache has no room for
    config.initial_size = size
    file.id.set_mdc_config(config)
    keep_bookkeeping(file)
