"""Measured curves of electrode materials, as their authors published them."""

from __future__ import annotations

import math


def limn2o4_open_circuit_v(lithiation: float) -> float:
    """Open-circuit voltage of LiyMn2O4 against lithium [V].

    lithiation: y; fitted by the authors between 0.17 and 0.99. Outside the formula still falls
    steadily but is nobody's measurement; it ends at y = 0.998432, where it has a pole.
    Source: Doyle, Newman, Gozdz, Schmutz, Tarascon, J. Electrochem. Soc. 143 (1996) 1890.
    Raises ValueError at and above the pole.
    """
    y = lithiation
    if not y < 0.998432:
        raise ValueError(f"lithiation {y} of LiyMn2O4, the curve ends at 0.998432")
    voltage: float = (
        4.19829
        + 0.0565661 * math.tanh(-14.5546 * y + 8.60942)
        - 0.0275479 * (1.0 / (0.998432 - y) ** 0.492465 - 1.90111)
        - 0.157123 * math.exp(-0.04738 * y**8)
        + 0.810239 * math.exp(-40.0 * (y - 0.133875))
    )
    return voltage
