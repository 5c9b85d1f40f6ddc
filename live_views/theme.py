"""Colours, fonts and pyqtgraph's settings, in one place.

Red is kept for loss, limits and faults; no colour map and no curve uses it. Values have a
perceptually uniform map that colour-blind people can read, differences a diverging one around
zero, and one quantity has one map everywhere, in the window and in the report.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6 import QtCore, QtGui, QtWidgets

FAMILIES = ["Inter", "Noto Sans", "Segoe UI", "Helvetica Neue", "DejaVu Sans"]

Table = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as #rrggbb.

    good: safe, in order; active: current flows, data flows; fault: loss, limits, faults only
    hatch, hatch_line: not measured yet; masked: measured, but there is no answer
    """

    name: str
    window: str
    card: str
    border: str
    grid: str
    text: str
    muted: str
    faint: str
    active: str
    good: str
    warning: str
    fault: str
    fit: str
    picked: str
    hatch: str
    hatch_line: str
    masked: str
    shade: str
    forbidden: str

    def level(self, level: str) -> str:
        """The colour of a level: good, active, warning, fault; anything else is plain text."""
        known = {
            "good": self.good,
            "active": self.active,
            "warning": self.warning,
            "fault": self.fault,
        }
        return known.get(level, self.text)


DARK = Theme(
    name="dark",
    window="#0e1216",
    card="#161c22",
    border="#27313b",
    grid="#2a343e",
    text="#e9eef3",
    muted="#97a6b4",
    faint="#5d6b78",
    active="#5aa9ff",
    good="#33c39b",
    warning="#f0b440",
    fault="#ff5d5d",
    fit="#f0b440",
    picked="#ffffff",
    hatch="#12171c",
    hatch_line="#4a5a69",
    masked="#363f48",
    shade="#5aa9ff",
    forbidden="#c58bff",
)
LIGHT = Theme(
    name="light",
    window="#eef1f4",
    card="#ffffff",
    border="#d3dae1",
    grid="#e1e6eb",
    text="#16202a",
    muted="#556270",
    faint="#95a1ad",
    active="#0a62bd",
    good="#08795b",
    warning="#9a5f00",
    fault="#c62828",
    fit="#c27600",
    picked="#000000",
    hatch="#ffffff",
    hatch_line="#b3bec9",
    masked="#ccd2d8",
    shade="#0a62bd",
    forbidden="#7b3fc4",
)

COLOUR_MAPS = {
    "lattice_parameter": "viridis",
    "lattice_parameter sigma": "CET-L9",
    "peak_intensity": "CET-CBL2",
    "peak_width": "CET-L9",
    "fit_status": "CET-L6",
    "soc": "cividis",
    "soc sigma": "CET-L9",
    "soc_ambiguous": "CET-L6",
    "mass_fraction": "CET-L16",
    "rwp": "CET-L9",
    "fit_chi2": "CET-L9",
    "ambiguous": "CET-L6",
    "second_share": "CET-L16",
    "lattice_parameter_c": "viridis",
    "phase_scale": "CET-CBL2",
    "dose": "CET-L15",
    "segments": "CET-L6",
    "sinogram": "CET-CBL2",
    "frame": "CET-L6",
    "difference": "CET-CBD1",
}


def theme_named(name: str) -> Theme:
    """The theme called dark or light. Raises ValueError for another name."""
    for theme in (DARK, LIGHT):
        if theme.name == name:
            return theme
    raise ValueError(f"no theme {name!r}, there are 'dark' and 'light'")


def colour_table(quantity: str) -> Table:
    """(256, 4) uint8 RGBA of the colour map that quantity always has."""
    name = COLOUR_MAPS.get(quantity, "viridis")
    table = pg.colormap.get(name).getLookupTable(nPts=256, alpha=True)
    return np.ascontiguousarray(table, np.uint8)


def configure() -> None:
    """pyqtgraph as this room needs it: arrays are (rows, cols), curves are smooth."""
    pg.setConfigOptions(imageAxisOrder="row-major", antialias=True, useNumba=False)


def font(pixels: int, bold: bool = False) -> QtGui.QFont:
    """The window's font at a height in pixels."""
    made = QtGui.QFont()
    made.setFamilies(FAMILIES)
    made.setPixelSize(pixels)
    if bold:
        made.setWeight(QtGui.QFont.Weight.DemiBold)
    return made


def application() -> QtWidgets.QApplication:
    """The one application object of this process, made where there is none."""
    configure()
    app = QtWidgets.QApplication.instance()
    if not isinstance(app, QtWidgets.QApplication):
        QtCore.qInstallMessageHandler(_qt_says)
        app = QtWidgets.QApplication(["operando"])
        app.setApplicationName("operando")
        app.setStyle("Fusion")
    return app


def _qt_says(kind: QtCore.QtMsgType, _: QtCore.QMessageLogContext, text: str) -> None:
    """Qt's own messages to the log; without a display it complains at every window made."""
    if "propagateSizeHints" not in text:
        level = logging.INFO if kind == QtCore.QtMsgType.QtInfoMsg else logging.WARNING
        logging.getLogger("qt").log(level, "%s", text)


def style_sheet(theme: Theme) -> str:
    """Qt's style sheet for a theme."""
    t = theme
    families = ", ".join(repr(f) for f in FAMILIES)
    return f"""
    QWidget {{ color: {t.text}; font-size: 13px; font-family: {families}; }}
    QWidget#window, QWidget#report {{ background: {t.window}; }}
    QFrame#card {{ background: {t.card}; border: 1px solid {t.border}; border-radius: 7px; }}
    QLabel {{ background: transparent; border: none; }}
    QLabel#title {{ font-size: 14px; font-weight: 600; }}
    QLabel#note {{ font-size: 12px; color: {t.muted}; }}
    QLabel#caption {{ font-size: 11px; color: {t.muted}; letter-spacing: 1px; }}
    QLabel#value {{ font-size: 17px; font-weight: 600; }}
    QLabel#headline {{ font-size: 17px; font-weight: 600; }}
    QLabel#pagetitle {{ font-size: 26px; font-weight: 600; }}
    QLabel#empty {{ font-size: 17px; color: {t.muted}; }}
    QLabel#badge {{ background: {t.card}; border: 1px dashed {t.warning}; border-radius: 5px;
        color: {t.warning}; padding: 2px 7px; font-size: 13px; font-weight: 600; }}
    QPushButton, QComboBox {{ background: transparent; border: 1px solid {t.border};
        border-radius: 4px; padding: 2px 9px; font-size: 12px; color: {t.muted}; }}
    QPushButton:hover, QComboBox:hover {{ color: {t.text}; border-color: {t.faint}; }}
    QPushButton:checked {{ background: {t.active}; color: {t.card}; border-color: {t.active}; }}
    QPushButton:disabled {{ color: {t.faint}; }}
    QComboBox::drop-down {{ border: none; width: 14px; }}
    QComboBox QAbstractItemView {{ background: {t.card}; color: {t.text};
        selection-background-color: {t.active}; }}
    QProgressBar {{ background: {t.grid}; border: none; border-radius: 3px; }}
    QProgressBar::chunk {{ background: {t.active}; border-radius: 3px; }}
    QScrollArea, QScrollArea > QWidget > QWidget {{ background: transparent; border: none; }}
    QScrollBar:horizontal {{ height: 8px; background: transparent; }}
    QScrollBar::handle:horizontal {{ background: {t.faint}; border-radius: 4px; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
    QTextBrowser, QTextEdit {{ background: transparent; border: none; font-size: 12px; }}
    QToolTip {{ background: {t.card}; color: {t.text}; border: 1px solid {t.border}; }}
    """
