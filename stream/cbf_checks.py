"""Checks on a CBF file that fabio leaves out.

On a file that is cut in its header fabio reads on for ever; a wrong md5 it mentions in its log and
hands the pixels on. Both happen to files that are still being written. Format: imgCIF's binary
section, as DECTRIS' Pilatus detectors write it.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import re
from pathlib import Path

_SECTION = b"--CIF-BINARY-FORMAT-SECTION--"
_SECTION_BEGINS = b"\x0c\x1a\x04\xd5"
_MAX_HEADER_BYTES = 64 << 10
_MAX_PIXELS = 1 << 28  # ten times an EIGER2 16M
_SIZE = re.compile(rb"X-Binary-Size:\s*(\d{1,12})\s")
_SIDES = re.compile(rb"X-Binary-Size-(?:Fastest|Second)-Dimension:\s*(\d{1,12})\s")
_MD5 = re.compile(rb"Content-MD5:\s*([A-Za-z0-9+/=]{24})")


class CbfError(ValueError):
    """A CBF file that is cut or damaged."""


def check_cbf(path: Path) -> None:
    """Raise CbfError where path is no whole CBF file with one image; OSError where unreadable."""
    content = _content(path)
    section = content.find(_SECTION, 0, _MAX_HEADER_BYTES)
    begins = content.find(_SECTION_BEGINS, max(section, 0), _MAX_HEADER_BYTES)
    if section < 0 or begins < 0:  # fabio looks for the second after the first, for ever
        raise CbfError("no binary section: the file is cut or no CBF")
    header, body = content[:begins], begins + len(_SECTION_BEGINS)
    size = _SIZE.search(header)
    sides = [int(side) for side in _SIDES.findall(header)]
    if size is None or len(sides) != 2:
        raise CbfError("its header does not say how large the image is")
    if not 0 < sides[0] * sides[1] <= _MAX_PIXELS:
        raise CbfError(f"its header says {sides[1]} x {sides[0]} pixels")
    need = int(size[1])
    if len(content) - body < need:
        raise CbfError(f"cut: {len(content) - body} of {need} bytes of its image are there")
    told = _MD5.search(header)
    pixels = memoryview(content)[body : body + need]
    found = hashlib.md5(pixels, usedforsecurity=False).digest()
    if told is not None and base64.b64encode(found) != told[1]:
        raise CbfError("its image does not match its md5")


def _content(path: Path) -> bytes:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        with gzip.open(path) as packed:
            return packed.read()
    if suffix == ".bz2":
        with bz2.open(path) as packed:
            return packed.read()
    return path.read_bytes()
