"""What every command of `operando` starts from: the application, and how it speaks and fails."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from .experiment import Experiment

app = typer.Typer(
    name="operando",
    help="See inside a working battery while it works: live maps from operando synchrotron scans.",
    epilog="Start with: operando demo.  This is no personnel or equipment safety system.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

ExperimentFile = Annotated[
    Path, typer.Argument(help="The experiment file (YAML); see examples/.", show_default=False)
]


def say(line: str) -> None:
    """One line to the person at the terminal."""
    typer.echo(line)
    sys.stdout.flush()


def fail(message: str, code: int = 1) -> NoReturn:
    """End with a message and an exit code: 1 it failed, 2 the input is wrong."""
    typer.echo(f"operando: {message}".encode(errors="replace").decode(), err=True)
    raise typer.Exit(code)


def experiment_of(path: Path) -> Experiment:
    """The experiment in a file; where it cannot be used the command ends with its faults."""
    from .experiment_file import ExperimentError, load

    try:
        return load(path)
    except ExperimentError as error:
        fail(str(error), 2)


def part_of_a_run(path: Path) -> Experiment:
    """The experiment of a part that joins a hub: its addresses must stand in the file."""
    experiment = experiment_of(path)
    if not (experiment.network.items and experiment.network.live):
        fail(
            f"{path}: network.items and network.live: needed by a part on its own; "
            "take the experiment.yaml in the run's folder, or write them into the file",
            2,
        )
    return experiment


def empty_folder(path: Path | None) -> None:
    """End with a message where path cannot become the folder of a new run."""
    if path is None:
        return
    if (path / "run.nxs").exists():
        fail(f"{path} already holds a run: give another --out", 2)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--out {path}: {error.strerror or error}", 2)
