"""The table of consumers, and what compiles them in advance."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest
from operando.consumers.catalogue import ScanNotForThis, configs, make_consumer
from operando.consumers.warm_up import warm_up


def test_every_configuration_has_defaults_and_is_plain_data() -> None:
    for name, config in configs().items():
        made = config()
        assert dataclasses.is_dataclass(made)
        assert config.__dataclass_params__.frozen
        assert json.loads(json.dumps(dataclasses.asdict(made))) is not None, name


def test_consumers_are_made_by_name(make_start, make_trajectory) -> None:
    start = make_start(make_trajectory(8, 9), technique="xrdct")
    for name in ("xrdct", "intensity"):
        consumer = make_consumer(name, configs()[name](), start)
        assert consumer.name == name
    with pytest.raises(ScanNotForThis):
        make_consumer("powder", configs()["powder"](), start)
    powder = make_consumer("powder", configs()["powder"](), make_start())
    assert powder.name == "powder"


def test_wrong_names_and_configurations_are_refused(make_start) -> None:
    with pytest.raises(ValueError, match="no consumer 'tomo'"):
        make_consumer("tomo", configs()["xrdct"](), make_start())
    with pytest.raises(ValueError, match="no consumer 'xrdct' with a IntensityConfig"):
        make_consumer("xrdct", configs()["intensity"](), make_start())


def test_warming_up_takes_every_consumer_through_a_tiny_scan() -> None:
    warm_up([(name, config()) for name, config in configs().items()], ["uint16", "uint32"])


def test_knowing_the_consumers_costs_no_pyfai() -> None:
    code = (
        "import sys, operando.consumers.catalogue as c; c.configs(); "
        "sys.exit(any(m.split('.')[0] in ('pyFAI', 'PySide6', 'matplotlib') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
