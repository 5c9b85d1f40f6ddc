"""Measured curves."""

import numpy as np
import pytest
from operando.materials.curves import limn2o4_open_circuit_v


def test_open_circuit_voltage_falls_all_the_way():
    voltages = [limn2o4_open_circuit_v(y) for y in np.linspace(0.17, 0.998, 500)]
    assert np.all(np.diff(voltages) < 0)


def test_the_two_plateaus_and_the_step_between_them():
    """Doyle et al. 1996, Fig. 3: about 4.1 V, about 3.95 V, the step near y = 0.6."""
    assert limn2o4_open_circuit_v(0.4) == pytest.approx(4.12, abs=0.03)
    assert limn2o4_open_circuit_v(0.8) == pytest.approx(3.98, abs=0.03)
    slopes = [
        limn2o4_open_circuit_v(y - 0.01) - limn2o4_open_circuit_v(y + 0.01)
        for y in np.arange(0.3, 0.9, 0.01)
    ]
    assert np.arange(0.3, 0.9, 0.01)[np.argmax(slopes)] == pytest.approx(0.59, abs=0.02)


def test_beyond_the_pole_is_refused():
    with pytest.raises(ValueError, match=r"ends at 0\.998432"):
        limn2o4_open_circuit_v(0.9985)
