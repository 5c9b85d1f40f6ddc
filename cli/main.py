"""The `operando` command; rooms are imported inside the commands: --help answers at once."""

from __future__ import annotations

import contextlib
import faulthandler
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from . import file_commands, part_commands
from .command_line import ExperimentFile, app, empty_folder, experiment_of, fail, part_of_a_run, say

if TYPE_CHECKING:
    from .experiment import Experiment

__all__ = ["app", "file_commands", "part_commands"]

with contextlib.suppress(OSError, ValueError):  # where there is no error stream
    faulthandler.enable()  # a crash below Python leaves its stacks in the part's log


@app.command()
def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder for everything the demo leaves behind.")
    ] = None,
    offscreen: Annotated[
        bool, typer.Option("--offscreen", help="No window: render its pictures to a folder.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two small tomograms: a minute instead of three.")
    ] = False,
) -> None:
    """Dry run of a whole experiment: a simulated cell, stage and detector, and the live window."""
    from .experiment_file import load

    name = "quick.yaml" if quick else "demo.yaml"
    _run(load(Path(__file__).with_name(name)), out, offscreen)


@app.command()
def run(
    file: ExperimentFile,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of this run; by default a new one under the file's `output`."),
    ] = None,
    offscreen: Annotated[
        bool, typer.Option("--offscreen", help="No window: render its pictures to a folder.")
    ] = False,
) -> None:
    """Run an experiment: cell, scans, analysis, window and record, until the cut-off voltage."""
    _run(experiment_of(file), out, offscreen)


def _run(experiment: Experiment, out: Path | None, offscreen: bool) -> None:
    from .check import faults_of
    from .folder import new_folder
    from .run import Choices, Run, has_display

    faults = faults_of(experiment)
    if faults:
        fail("\n".join(faults), 2)
    empty_folder(out)
    try:
        folder = new_folder(experiment, out)
    except OSError as error:
        fail(f"output {experiment.output}: {error.strerror or error}", 2)
    if folder.spool.exists():
        fail(
            f"{folder.path} holds a run that did not end: operando recover {folder.path}, "
            "and give another --out",
            2,
        )
    if not offscreen and not has_display():
        say("no display here: the window is rendered to pictures instead (as with --offscreen)")
        offscreen = True
    say(f"{experiment.title}\nwriting to {folder.path}")
    choices = Choices(window="pictures" if offscreen else "screen")
    outcome = Run(experiment, folder, choices, say).execute()
    if outcome.interrupted:
        raise typer.Exit(130)
    if outcome.failed:
        raise typer.Exit(1)


@app.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(help="The experiment file (YAML).", show_default=False)
    ] = None,
    reach: Annotated[
        bool, typer.Option(help="Also try to reach the hardware that the file names.")
    ] = True,
    measure: Annotated[bool, typer.Option(help="Also measure what this machine can take.")] = True,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print every key that the file may have.")
    ] = False,
) -> None:
    """Check an experiment file: its keys, the hardware, duration, data volume and this machine."""
    if explain:
        from .reference import experiment_reference

        say(experiment_reference())
        return
    if file is None:
        fail("give an experiment file, or --explain to see what can stand in one", 2)
    from .check import check_experiment

    if not check_experiment(experiment_of(file), say, reach=reach, measure=measure):
        raise typer.Exit(1)


@app.command()
def process(
    file: Annotated[
        Path | None, typer.Argument(help="An experiment file: serve its hub.", show_default=False)
    ] = None,
    frames: Annotated[
        list[Path] | None,
        typer.Option(help="Detector files or a folder of them (CBF, TIFF, EDF, HDF5)."),
    ] = None,
    poni: Annotated[Path | None, typer.Option(help="pyFAI geometry of these frames.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Image; non-zero pixels are left out.")] = None,
    orientation: Annotated[
        str, typer.Option(help="identity, flip-ud, flip-lr, rotate-180 or transpose.")
    ] = "identity",
    negatives: Annotated[
        Literal["masked", "zero"], typer.Option(help="What pixels below 0 mean.")
    ] = "masked",
    axis: Annotated[str, typer.Option(help="Axis of the patterns: q or two_theta.")] = "q",
    span: Annotated[
        tuple[float, float] | None,
        typer.Option(help="First and last value of the axis; by default all that is seen."),
    ] = None,
    bins: Annotated[int, typer.Option(help="Points of a pattern.")] = 2000,
    estimator: Annotated[str, typer.Option(help="mean, or trimmed: without spots.")] = "mean",
    split: Annotated[
        bool, typer.Option("--split", help="Share pixels out over narrow bins; with the mean.")
    ] = False,
    polarisation: Annotated[float, typer.Option(help="Of the beam, horizontal.")] = 0.99,
    out: Annotated[Path, typer.Option(help="Folder for the patterns and the record.")] = Path(
        "processed"
    ),
) -> None:
    """Analyse: serve a running experiment, or take detector files through the same path."""
    if (file is None) == (not frames):
        fail("give an experiment file, or --frames with --poni", 2)
    if file is not None:
        from .serve import serve_processing

        raise typer.Exit(serve_processing(part_of_a_run(file)))
    if poni is None:
        fail("--frames needs --poni FILE: the geometry of these frames", 2)
    from .experiment_file import ExperimentError
    from .frames import FrameJob, process_frames

    job = FrameJob(
        paths=tuple(frames or ()),
        poni=poni,
        mask=mask,
        orientation=orientation,
        negatives=negatives,
        axis=axis,
        span=span,
        bins=bins,
        estimator=estimator,
        split=split,
        polarisation=polarisation,
        out=out,
    )
    try:
        code = process_frames(job, say)
    except ExperimentError as error:
        fail(str(error), 2)
    raise typer.Exit(code)


@app.command()
def watch(
    file: Annotated[
        Path | None, typer.Argument(help="The experiment file of the run.", show_default=False)
    ] = None,
    address: Annotated[str, typer.Option(help="Or the live address of its hub.")] = "",
    offscreen: Annotated[
        bool, typer.Option("--offscreen", help="Render PNG pictures on a timer instead.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for pictures.")] = Path("window"),
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two pictures.")] = 2.0,
    theme: Annotated[Literal["dark", "light"], typer.Option(help="Its colours.")] = "dark",
    keys: Annotated[
        Path | None, typer.Option(help="With --address: folder of keys, where its hub asks.")
    ] = None,
) -> None:
    """The live window: close it, reopen it, open it late, on any machine that hears the hub."""
    import zmq

    from .serve import serve_window

    if not address and file is None:
        fail("give the experiment file of the run, or --address of its hub's live side", 2)
    from .experiment import Network

    network = Network(live=address, keys=str(keys or ""), live_keys=keys is not None)
    if not address and file is not None:
        network = experiment_of(file).network
    if not network.live:
        fail("the experiment file has no network.live: use the one in the run's own folder", 2)
    try:
        code = serve_window(network, offscreen, out, every, theme)
    except zmq.ZMQError as error:
        fail(f"{network.live!r} is no address of a hub: {error}; e.g. tcp://10.0.0.5:7002", 2)
    except OSError as error:
        fail(f"--out {out}: {error.strerror or error}", 2)
    raise typer.Exit(code)


@app.command()
def soak(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A dry run's experiment file; by default the demo.", show_default=False
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="How long to disturb runs; one undisturbed comes first.")
    ] = 30.0,
    seed: Annotated[int, typer.Option(min=0, help="The order of the faults follows from it.")] = 1,
    every: Annotated[float, typer.Option(min=0.5, help="Seconds between two faults.")] = 10.0,
    quick: Annotated[bool, typer.Option("--quick", help="The small demo instead.")] = False,
    out: Annotated[
        Path, typer.Option(help="A new folder: soak.json, and a folder for each run.")
    ] = Path("soak"),
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the frames of runs that went well, too.")
    ] = False,
) -> None:
    """Try what a run survives: dry runs with parts killed and frozen, cables cut, disks full.

    Nothing real is touched: hardware is simulated, and faults go to
    processes that this command has started itself. At the end a table says
    what was done, where every frame went, whether the maps are those of an
    undisturbed analysis bit for bit, and what memory, lag and rate were.
    Exit code 0: every promise was kept. Linux only. Ctrl-C ends in order.
    """
    from .experiment_file import load
    from .soak import Soak, SoakChoices

    small = Path(__file__).with_name("quick.yaml" if quick else "demo.yaml")
    experiment = load(small) if file is None else experiment_of(file)
    if experiment.simulation is None:
        fail(f"{file}: there is no `simulation:` section: only dry runs are disturbed", 2)
    if not sys.platform.startswith("linux"):
        fail("soak needs Linux: it reads /proc and sets limits of running processes", 2)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            fail(f"--out {out}: is not empty, give another", 2)
    except OSError as error:
        fail(f"--out {out}: {error.strerror or error}", 2)
    choices = SoakChoices(minutes, seed, every, keep)
    raise typer.Exit(Soak(experiment, out.resolve(), choices, say).execute())


@app.command()
def keys(
    folder: Annotated[Path, typer.Argument(help="Where the keys are kept.", show_default=False)],
    client: Annotated[
        str, typer.Option(help="Add keys for another host: FOLDER/CLIENT is carried there.")
    ] = "",
    may: Annotated[
        str,
        typer.Option(help="What that host may be: part (of a run), window, person or recommender."),
    ] = "part",
) -> None:
    """Make the keys of a run that other machines can reach: `network.keys` in its file."""
    from ..stream.curve_keys import KeysError, add_client, make_keys

    try:
        made = add_client(folder, client, may) if client else make_keys(folder)
    except KeysError as error:
        fail(str(error), 2)
    for path in made:
        say(str(path))


@app.command()
def decide(
    file: ExperimentFile,
    proposal: Annotated[str, typer.Argument(help="Its id, as the log and the window show it.")],
    verdict: Annotated[Literal["approve", "veto"], typer.Argument(help="What to say of it.")],
    reason: Annotated[str, typer.Option(help="In words, for the record.")] = "",
) -> None:
    """Approve or veto a proposed rescan or stop from the command line."""
    from ..stream.link import HubUnreachable
    from .recommend import say_decision

    experiment = part_of_a_run(file)
    try:
        refused = say_decision(experiment, proposal, verdict, reason)
    except HubUnreachable as error:
        fail(str(error))
    if refused:
        fail(refused)


if __name__ == "__main__":
    app()
