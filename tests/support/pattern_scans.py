"""Scans of the simulated electrode as integrated frames, without painting a frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from operando.sim.pattern_tomogram import pattern_tomogram
from operando.sim.truth import Truth
from operando.stream.messages import Axis, ScanStart, Trajectory


def lines(rotations: int, points: int, step_um: float, order: np.ndarray | None = None):
    """The trajectory of a half turn; order: of the rotations, None: ascending."""
    angles = 180.0 * (np.arange(rotations) if order is None else order) / rotations
    line = (np.arange(points) - 0.5 * (points - 1)) * step_um
    return Trajectory(
        (rotations, points),
        (
            Axis("rotation", "deg", np.repeat(angles, points)),
            Axis("translation", "um", np.tile(line, rotations)),
        ),
    )


def reductions_of(
    start: ScanStart, truth: Truth, q: np.ndarray, counts: float, seed: int
) -> Iterator[np.ndarray]:
    """What reducing each frame of a scan gives, (5, channels), in the order of the frames.

    The place that the scan's notes name lies on the axis; the beam is as wide as the step.
    """
    middles = 0.5 * (q[1:] + q[:-1])
    edges = np.r_[2 * middles[0] - middles[1], middles, 2 * middles[-1] - middles[-2]]
    rotations, points = start.trajectory.grid
    angles, places = (axis.values for axis in start.trajectory.axes)
    x_um, y_um = (float(start.notes.get(f"region_{axis}_um", 0.0)) for axis in "xy")
    truth = dataclasses.replace(truth, x_um=truth.x_um - x_um, y_um=truth.y_um - y_um)
    scan = pattern_tomogram(
        truth, edges, angles[::points], places[:points], counts, seed=seed,
        beam_um=places[1] - places[0],
    )  # fmt: skip
    for rotation in range(rotations):
        yield from scan.reductions(rotation)
