"""States of charge as results: the map, where it is ambiguous, and the balance with the charge."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..materials.calibration import Calibration
from ..stream.messages import Result, Scalar, ScanStart
from .labels import Labels
from .particle_results import mixed_of
from .soc import CODES, KNOWN, CalibrationConfig, SocBalance, SocMap, balance_of, soc_of

F64 = NDArray[np.float64]
RESULT_OF = {"a": "lattice_parameter", "c": "lattice_parameter_c"}


def soc_results(
    config: CalibrationConfig,
    labels: Labels,
    found: Mapping[str, Result],
    strength: F64,
    start: ScanStart,
) -> list[Result]:
    """Map, ranges and balance; nothing without a table or the lattice parameter it is for.

    strength: (rows, cols) how much of the working phase each voxel holds, in any unit
    """
    curve = config.curve()
    measured = found.get(RESULT_OF[curve.parameter]) if curve else None
    if curve is None or measured is None or measured.uncertainty is None:
        return []
    soc = soc_of(
        curve,
        np.asarray(measured.values, np.float64),
        np.asarray(measured.uncertainty, np.float64),
        mixed_of(found),
    )
    weight = np.maximum(np.nan_to_num(strength), 0.0)
    charge = start.cell.charge_ah if start.cell else math.nan
    balance = balance_of(soc, weight, config.by_coulombs(charge))
    about = _about(curve, soc)
    maps = (
        ("soc", curve.unit, soc.value, soc.sigma),
        ("soc_low", curve.unit, soc.low, None),
        ("soc_high", curve.unit, soc.high, None),
        ("soc_ambiguous", "", soc.code, None),
    )
    made = [
        labels.result(
            name, unit, ("y", "x"), measured.coords, measured.units, values, uncertainty=sigma,
            attrs=about,
        )
        for name, unit, values, sigma in maps
    ]  # fmt: skip
    return [*made, _balance(labels, curve, balance, charge)]


def _about(curve: Calibration, soc: SocMap) -> dict[str, Scalar]:
    """What a reader of the maps has to know; the ambiguous range spans all voxels' ranges."""
    unsure = np.isfinite(soc.low) & (soc.code != KNOWN)
    return {
        "quantity": curve.quantity,
        "table": curve.name,
        "codes": CODES,
        "ambiguous_low": float(soc.low[unsure].min()) if unsure.any() else math.nan,
        "ambiguous_high": float(soc.high[unsure].max()) if unsure.any() else math.nan,
    }


def _balance(labels: Labels, curve: Calibration, balance: SocBalance, charge_ah: float) -> Result:
    columns = {
        "mean": (balance.mean, balance.mean_sigma),
        "coulomb": (balance.coulomb, math.nan),
        "difference": (balance.difference, balance.mean_sigma),
        "low": (balance.low, math.nan),
        "high": (balance.high, math.nan),
        "ambiguous_share": (balance.ambiguous_share, math.nan),
    }
    values, sigmas = np.array(list(columns.values())).T
    attrs: dict[str, Scalar] = {
        "columns": ",".join(columns),
        "quantity": curve.quantity,
        "table": curve.name,
        "charge_ah": charge_ah,
    }
    return labels.result(
        "soc_balance", curve.unit, ("quantity",), {"quantity": np.arange(len(columns))},
        {"quantity": ""}, values, uncertainty=sigmas, attrs=attrs,
    )  # fmt: skip
