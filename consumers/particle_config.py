"""How particles are found, followed and judged: what a user may choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class ParticlesConfig:
    """How particles are found, followed and judged (docs/explanations/particles.md).

    find: look for them at all
    threshold: filling of a voxel, 0 to 1, from which on it is inside; 0: Otsu's, near one half
    waist: share of a particle's depth by which it has to narrow between two to separate them
    least_um2: what is smaller is no particle
    shells: parts of equal depth
    reach_um: farthest that the slice drifts between two scans
    systematic: uncertainty that all lattice parameters have in common [Å]
    alarm: probability that any particle of an ordinary slice is accused
    segments: sort the voxels into at most so many groups by lattice parameter; 0: do not
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    find: bool = True
    threshold: float = 0.0
    waist: float = 0.07
    least_um2: float = 6.0
    shells: int = 4
    reach_um: float = 5.0
    systematic: float = 0.0015
    alarm: float = 0.01
    segments: int = 0

    def __post_init__(self) -> None:
        problems = {
            "0 <= threshold < 1": 0 <= self.threshold < 1,
            "0 < waist < 1": 0 < self.waist < 1,
            "least_um2 >= 0": self.least_um2 >= 0,
            "1 <= shells <= 32": 1 <= self.shells <= 32,
            "0 <= reach_um <= 100": 0 <= self.reach_um <= 100,
            "systematic >= 0": self.systematic >= 0,
            "0 < alarm < 1": 0 < self.alarm < 1,
            "0 <= segments <= 8": 0 <= self.segments <= 8,
        }
        broken = [rule for rule, holds in problems.items() if not holds]
        if broken:
            raise ValueError(f"particles: {'; '.join(broken)} does not hold")
