"""The consumers there are, by name: the one table to extend for a new technique."""

from __future__ import annotations

from ..stream.messages import ScanStart
from .contract import Consumer, ScanNotForThis
from .intensity import Intensity, IntensityConfig
from .powder import Powder, PowderConfig
from .xrdct import Xrdct
from .xrdct_config import XrdctConfig

__all__ = ["ScanNotForThis", "configs", "make_consumer"]


def configs() -> dict[str, type]:
    """Name -> the frozen dataclass that configures the consumer; all fields have defaults."""
    return {"xrdct": XrdctConfig, "intensity": IntensityConfig, "powder": PowderConfig}


def make_consumer(name: str, config: object, start: ScanStart) -> Consumer:
    """A consumer for one scan. Raises ScanNotForThis where it cannot use the scan.

    Raises ValueError for a name or a configuration that is not in the table.
    """
    if isinstance(config, XrdctConfig) and name == "xrdct":
        return Xrdct(config, start)
    if isinstance(config, IntensityConfig) and name == "intensity":
        return Intensity(config, start)
    if isinstance(config, PowderConfig) and name == "powder":
        return Powder(config, start)
    raise ValueError(
        f"no consumer {name!r} with a {type(config).__name__}: there are {sorted(configs())}"
    )
