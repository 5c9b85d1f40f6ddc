"""Reading an experiment file, and saying what is wrong with it: one line for each fault."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from ..stream.compression import checksum
from ..stream.dectris_faults import Misbehaviour
from .experiment import Experiment


class ExperimentError(ValueError):
    """An experiment file that cannot be used: one line a fault, with the key and the remedy."""


class _Loader(yaml.SafeLoader):
    """Safe, and a key that stands twice is an error: the last one would win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: a key has to be a word")
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                line = key.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: the key {key.value!r} stands twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load(path: Path) -> Experiment:
    """The experiment in the file at path. Raises ExperimentError with one line a fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExperimentError(f"{path}: cannot be read: {error}") from None
    experiment = parse(text, str(path), path.parent)
    if experiment.geometry:
        poni = (path.parent / experiment.geometry).resolve()
        if not poni.is_file():
            raise ExperimentError(
                f"{path}: geometry: no file {poni}; give the .poni of this detector"
            )
        experiment = experiment.model_copy(update={"geometry": str(poni)})
    if experiment.network.keys:
        folder = (path.parent / experiment.network.keys).expanduser().resolve()
        if not folder.is_dir():
            raise ExperimentError(
                f"{path}: network.keys: no folder {folder}; `operando keys {folder}` makes one"
            )
        network = experiment.network.model_copy(update={"keys": str(folder)})
        experiment = experiment.model_copy(update={"network": network})
    return experiment


def _take_files(raw: dict[str, Any], folder: Path, name: str) -> None:
    """Put the text of CIF files and calibration tables in place of their names.

    It then travels with the experiment. folder: where relative names begin. Raises ExperimentError.
    """
    where = "analysis", "consumers", "xrdct"
    xrdct: Any = raw
    for key in where:
        xrdct = xrdct.get(key) if isinstance(xrdct, dict) else None
    if not isinstance(xrdct, dict):
        return
    place = f"{name}: {'.'.join(where)}"
    phases = xrdct.get("phases")
    for key, phase in phases.items() if isinstance(phases, dict) else ():
        _take_file(phase, "cif", ".cif", folder, f"{place}.phases.{key}")
    _take_file(xrdct.get("calibration"), "table", ".csv", folder, f"{place}.calibration")


def _take_file(section: Any, key: str, ending: str, folder: Path, place: str) -> None:
    named = section.get(key) if isinstance(section, dict) else None
    if isinstance(named, str) and named.lower().endswith(ending):
        file = (folder / named).expanduser()
        try:
            section[key] = file.read_text(encoding="utf-8", errors="replace")
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or error
            raise ExperimentError(f"{place}.{key}: {file}: {said}") from None


def parse(text: str, name: str, folder: Path = Path()) -> Experiment:
    """The experiment in YAML text; name stands in the messages. Raises ExperimentError.

    folder: where names of other files begin
    """
    try:
        loader = _Loader(text)
        try:
            raw = loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, RecursionError) as error:
        raise ExperimentError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ExperimentError(f"{name}: holds no keys; start from one of the examples")
    _take_files(raw, folder, name)
    try:
        experiment = Experiment.model_validate(raw)
    except ValidationError as error:
        raise ExperimentError(_lines(name, error.errors(), Experiment)) from None
    except UnicodeError as error:
        raise ExperimentError(f"{name}: an escape that stands for no character: {error}") from None
    check_consumers(experiment, name)
    check_twin(experiment, name)
    check_faults(experiment, name)
    return experiment


def check_consumers(experiment: Experiment, name: str) -> dict[str, Any]:
    """Consumer name -> its configuration object. Raises ExperimentError."""
    from ..consumers.catalogue import configs

    known = configs()
    if not experiment.analysis.consumers:
        raise ExperimentError(f"{name}: analysis.consumers: empty; choose from {sorted(known)}")
    found = {}
    for consumer, settings in experiment.analysis.consumers.items():
        key = f"analysis.consumers.{consumer}"
        if consumer not in known:
            raise ExperimentError(f"{name}: {key}: no such consumer{_nearest(consumer, known)}")
        found[consumer] = _settings(known[consumer], settings, f"{name}: {key}")
    return found


def settings_checksum(experiment: Experiment) -> int:
    """Of the analysis settings as the file gives them, whatever their order; never 0.

    By it parts that were started at different times know that they do the same.
    """
    given = experiment.model_dump(mode="json")["analysis"]["consumers"]
    text = json.dumps(given, sort_keys=True, separators=(",", ":"))
    return checksum(text.encode()) or 1


def check_twin(experiment: Experiment, name: str) -> Any:
    """The twin's configuration object, None without a simulation. Raises ExperimentError."""
    if experiment.simulation is None:
        return None
    from ..sim.twin import TwinConfig

    return _settings(TwinConfig, experiment.simulation.twin, f"{name}: simulation.twin")


def check_faults(experiment: Experiment, name: str) -> Misbehaviour:
    """What the simulated detector's stream does wrong. Raises ExperimentError."""
    where = f"{name}: simulation.detector_faults"
    settings = experiment.simulation.detector_faults if experiment.simulation else {}
    faults: Misbehaviour = _settings(Misbehaviour, settings, where)
    if faults.bad_md5 and experiment.detector.format == "v2":
        raise ExperimentError(f"{where}.bad_md5: the stream V2 has no md5; detector.format v1 has")
    return faults


def _settings(config: type, settings: dict[str, Any], where: str) -> Any:
    """A room's own frozen dataclass from a section of the file."""
    names = [f.name for f in dataclasses.fields(config)]
    for key in settings:
        if key not in names:
            raise ExperimentError(f"{where}.{key}: unknown key{_nearest(key, names)}")
    try:
        found = TypeAdapter(config).validate_python(settings)
    except ValidationError as error:
        raise ExperimentError("\n".join(_setting(where, e) for e in error.errors())) from None
    except ValueError as error:
        raise ExperimentError(f"{where}: {error}") from None
    for key in settings:
        value = getattr(found, key)
        if isinstance(value, float) and not math.isfinite(value):
            raise ExperimentError(f"{where}.{key}: {value} is no number to work with")
    return found


def _setting(where: str, error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ")
    key = _key(error)
    return f"{where}.{key}: {message}, got {_short(error)}" if key else f"{where}: {message}"


def _lines(name: str, errors: Iterable[ErrorDetails], model: type[BaseModel]) -> str:
    lines = []
    for error in errors:
        key = _key(error)
        if error["type"] == "extra_forbidden":
            section = _section(model, error["loc"][:-1])
            lines.append(f"{name}: {key}: unknown key{_nearest(str(error['loc'][-1]), section)}")
        elif error["type"] == "missing":
            lines.append(f"{name}: {key}: missing; it is needed")
        elif error["type"] == "value_error":
            message = error["msg"].removeprefix("Value error, ")
            lines.append(f"{name}: {key + ': ' if key else ''}{message}")
        else:
            lines.append(f"{name}: {key}: {error['msg']}, got {_short(error)}")
    return "\n".join(lines)


def _key(error: ErrorDetails) -> str:
    text = ""
    for part in error["loc"]:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def _short(error: ErrorDetails) -> str:
    text = repr(error["input"])
    return text if len(text) <= 60 else text[:57] + "..."


def _section(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None:
            continue
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for candidate in candidates:
            if isinstance(candidate, type) and issubclass(candidate, BaseModel):
                model = candidate
                break
    return list(model.model_fields)


def _nearest(key: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(key, names, 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}"


def dump(experiment: Experiment) -> str:
    """The experiment as YAML text that load() reads back."""
    plain = experiment.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
