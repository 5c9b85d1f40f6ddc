"""Every key of the experiment file as a page, written from the definitions themselves."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from .experiment import Experiment

HEAD = """# The experiment file

YAML, checked by `operando check FILE`. Unknown keys are errors; units stand in the names. A key
that is left out has the default shown. This page is written by `operando check --explain`.
"""


def experiment_reference() -> str:
    """The page, in Markdown."""
    lines = [HEAD]
    lines += _section("", Experiment)
    lines += _settings()
    return "\n".join(lines).strip()


def _section(path: str, model: type[BaseModel]) -> Iterator[str]:
    title = f"`{path}`" if path else "Top level"
    yield f"## {title}\n\n{_first_line(model)}\n"
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    inner = []
    for name, field in model.model_fields.items():
        child = _child(field.annotation)
        if child is not None:
            inner.append((f"{path}.{name}" if path else name, child))
        default = "needed" if field.is_required() else _default(field)
        meaning = field.description or (_first_line(child) if child else "")
        yield f"| `{name}` | {_type(field.annotation)} | {default} | {meaning} |"
    yield ""
    for place, child in inner:
        yield from _section(place, child)


def _settings() -> Iterator[str]:
    from ..consumers.catalogue import configs
    from ..sim.twin import TwinConfig
    from ..stream.dectris_faults import Misbehaviour

    for name, config in (
        *((f"analysis.consumers.{n}", c) for n, c in configs().items()),
        ("simulation.twin", TwinConfig),
        ("simulation.detector_faults", Misbehaviour),
    ):
        yield from _dataclass(name, config)


def _dataclass(name: str, config: type) -> Iterator[str]:
    """A room's own configuration, and those inside it."""
    yield f"## `{name}`\n\n```text\n{inspect.getdoc(config)}\n```\n"
    yield "| key | type | default |\n|---|---|---|"
    hints = typing.get_type_hints(config)
    inner = []
    for field in dataclasses.fields(config):
        hint = hints[field.name]
        value = field.default
        if value is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        shown = "needed" if value is dataclasses.MISSING else f"`{value!r}`"
        named = typing.get_origin(hint) is dict
        child = typing.get_args(hint)[1] if named else hint
        text = _type(hint)
        if dataclasses.is_dataclass(child):
            inner.append((f"{name}.{field.name}{'.NAME' if named else ''}", child))
            text, shown = ("sections by name", "none") if named else ("section", "see below")
        yield f"| `{field.name}` | {text} | {shown} |"
    yield ""
    for place, child in inner:
        yield from _dataclass(place, child)


def _first_line(model: type[BaseModel]) -> str:
    return (inspect.getdoc(model) or "").splitlines()[0]


def _child(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _default(field: Any) -> str:
    if field.default is not PydanticUndefined:
        return f"`{field.default!r}`"
    value = field.default_factory()
    return "see below" if isinstance(value, BaseModel) else f"`{value!r}`"


def _type(annotation: Any) -> str:
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    child = _child(annotation)
    if child is not None:
        return "a list of sections" if "tuple" in str(annotation) else "section"
    text = text.replace("typing.", "").replace("Literal", "one of ").replace("NoneType", "none")
    return text.replace("|", "or")
