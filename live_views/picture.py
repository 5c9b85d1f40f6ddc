"""Widgets to PNG files, replaced as a whole: a reader never sees half a picture."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PySide6 import QtGui, QtWidgets

from .painting import Rgba


def save_picture(widget: QtWidgets.QWidget, path: Path, scale: float = 1.0) -> Path:
    """Render widget into a PNG file at path. Raises OSError where it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = QtGui.QImage(widget.size() * scale, QtGui.QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(scale)
    image.fill(QtGui.QColor("#000000"))
    widget.ensurePolished()
    widget.render(image)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    # PySide takes the format as str, its type stub says bytes
    if not image.save(str(part), "PNG", 60):  # type: ignore[call-overload]
        raise OSError(f"picture {path} cannot be written")
    os.replace(part, path)
    return path


def as_image(picture: Rgba) -> QtGui.QImage:
    """(rows, cols, 4) uint8 as an image of its own memory, row 0 on top."""
    rows, cols, _ = picture.shape
    data = np.ascontiguousarray(picture)
    return QtGui.QImage(data.data, cols, rows, 4 * cols, QtGui.QImage.Format.Format_RGBA8888).copy()
