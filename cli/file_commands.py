"""The commands of `operando` on what a run has left: its file, or its folder after a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .command_line import app, empty_folder, fail, say

LEFT = "What a run has left"


@app.command(rich_help_panel=LEFT)
def replay(
    file: Annotated[Path, typer.Argument(help="A recorded run, run.nxs.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the new results; by default beside the file.")
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.0, help="Frames a second; 0 = as fast as they can be taken.")
    ] = 0.0,
    offscreen: Annotated[
        bool, typer.Option("--offscreen", help="No window: render its pictures to a folder.")
    ] = False,
) -> None:
    """Feed a recorded run back in as if live, and compare its final maps with the recorded ones."""
    from .replay import replay_file

    empty_folder(out)
    raise typer.Exit(replay_file(file, out, speed, offscreen, say))


@app.command(rich_help_panel=LEFT)
def report(
    file: Annotated[Path, typer.Argument(help="A recorded run, run.nxs.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figures; by default `report` beside it.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this figure, e.g. evolution or 'map-*'; may be given again."),
    ] = None,
    dpi: Annotated[int, typer.Option(min=50, max=1200, help="Of the PNG files.")] = 300,
) -> None:
    """Figures and numbers of a finished run, in the size of a journal."""
    from ..stream.run_file import RunFileError
    from .report import report_of_file

    folder = out or file.parent / "report"
    try:
        pictures = report_of_file(file, folder, only or (), dpi)
    except RunFileError as error:
        fail(str(error), 2)
    except (OSError, ValueError) as error:
        fail(f"{folder}: {error}", 2)
    for picture in pictures:
        say(str(picture))


@app.command(rich_help_panel=LEFT)
def export(
    file: Annotated[Path, typer.Argument(help="A recorded run, run.nxs.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the tables; by default `tables` beside it.")
    ] = None,
) -> None:
    """Refinement and particle tables of a run as CSV files."""
    from ..stream.run_file import RunFileError
    from .export import export_tables

    folder = out or file.parent / "tables"
    try:
        tables = export_tables(file, folder)
    except RunFileError as error:
        fail(str(error), 2)
    except OSError as error:
        fail(f"{folder}: {error.strerror or error}", 2)
    for table in tables:
        say(str(table))
    if not tables:
        say(f"{file} holds no tables: no phases were configured, or no scan was finished")


@app.command(rich_help_panel=LEFT)
def account(
    file: Annotated[Path, typer.Argument(help="A recorded run, run.nxs.", show_default=False)],
) -> None:
    """Where every announced frame of a run went; exit code 1 where that is not all told.

    An account that is open, and a file that holds other frames than its account says, are not.
    """
    from ..stream.run_file import RunFileError
    from .account import say_accounts

    try:
        closed = say_accounts(file, say)
    except RunFileError as error:
        fail(str(error), 2)
    raise typer.Exit(0 if closed else 1)


@app.command(rich_help_panel=LEFT)
def recover(
    folder: Annotated[
        Path, typer.Argument(help="The folder of a run that did not end.", show_default=False)
    ],
    to: Annotated[
        Path | None,
        typer.Option(help="The new NeXus file; by default run.recovered.nxs in the folder."),
    ] = None,
) -> None:
    """One whole NeXus file out of what a crash left behind; nothing that is there is changed."""
    from .recover import RecoverError, recover_run

    try:
        closed = recover_run(folder, to or folder / "run.recovered.nxs", say)
    except RecoverError as error:
        fail(str(error), 2)
    raise typer.Exit(0 if closed else 1)
