"""The parts of a run as commands of `operando`; `operando run` starts them all on one machine."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .command_line import ExperimentFile, app, fail, part_of_a_run, say

SPOOL = Path("spool")  # beside run.nxs: `operando recover .` finds both
PARTS = "Parts of a run (started by `operando run`; by hand on separate hosts)"


class Hardware(StrEnum):
    """A half of the simulated hardware."""

    BENCH = "bench"
    DETECTOR = "detector"


@app.command(rich_help_panel=PARTS)
def sim(
    file: ExperimentFile,
    truth: Annotated[
        Path | None, typer.Option(help="Folder for what the twin knows, a file a scan.")
    ] = None,
    only: Annotated[
        Hardware | None,
        typer.Option(help="Only cell, potentiostat and stage, or only the detector server."),
    ] = None,
) -> None:
    """The digital twin: detector server, potentiostat and stage, on their real protocols."""
    from .hardware import serve_bench, serve_detector, serve_sim

    experiment = part_of_a_run(file)
    simulation = experiment.simulation
    if simulation is None:
        fail(f"{file}: there is no `simulation:` section to serve", 2)
    if not (experiment.detector.rest and experiment.detector.stream):
        fail(f"{file}: detector.rest and detector.stream: say where to serve, on 127.0.0.1", 2)
    if only is not None and not (simulation.bench and simulation.pulses):
        fail(f"{file}: simulation.bench and simulation.pulses: say where the two halves meet", 2)
    if only is Hardware.BENCH:
        serve_bench(experiment)
    elif only is Hardware.DETECTOR:
        serve_detector(experiment, truth)
    else:
        serve_sim(experiment, truth)


@app.command(rich_help_panel=PARTS)
def hub(
    file: ExperimentFile,
    detector: Annotated[bool, typer.Option(help="Listen to the detector's stream.")] = True,
    spool: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps what was taken; a hub started again goes on from it.",
            show_default=str(SPOOL),
        ),
    ] = None,
    no_spool: Annotated[
        bool,
        typer.Option("--no-spool", help="Keep nothing on disk: what a killed hub held is lost."),
    ] = False,
) -> None:
    """The backbone: hears the detector, keeps the account, hands every frame on."""
    from .serve import serve_hub

    if no_spool and spool is not None:
        fail(f"--spool {spool} and --no-spool: give one of them", 2)
    serve_hub(part_of_a_run(file), detector, None if no_spool else spool or SPOOL)


@app.command(rich_help_panel=PARTS)
def receive(file: ExperimentFile) -> None:
    """The receiver in a process of its own, for a hub that runs with --no-detector."""
    from .serve import serve_receiver

    serve_receiver(part_of_a_run(file))


@app.command(rich_help_panel=PARTS)
def record(
    file: ExperimentFile,
    to: Annotated[Path, typer.Option(help="The NeXus file to write.")] = Path("run.nxs"),
) -> None:
    """The recorder: one NeXus file with everything."""
    from .serve import serve_recorder

    serve_recorder(part_of_a_run(file), file, to)


@app.command(rich_help_panel=PARTS)
def absorb(
    file: ExperimentFile,
    findings: Annotated[
        Path | None,
        typer.Option(help="Folder for what scans hand down; an absorber started again reads it."),
    ] = None,
) -> None:
    """The absorber: puts reductions together and publishes results."""
    from .serve import serve_absorber

    serve_absorber(part_of_a_run(file), findings)


@app.command(rich_help_panel=PARTS)
def reduce(
    file: ExperimentFile,
    name: Annotated[str, typer.Option(help="Its name in the window.")] = "reducer",
) -> None:
    """A reducer: decodes and reduces frames. Start as many as there are cores, anywhere."""
    from .serve import serve_reducer

    serve_reducer(part_of_a_run(file), name)


@app.command(rich_help_panel=PARTS)
def recommend(file: ExperimentFile) -> None:
    """The recommender: reads the maps and proposes rescans; needs an `adaptive:` section."""
    from .recommend import serve_recommender

    experiment = part_of_a_run(file)
    if experiment.adaptive is None:
        fail(f"{file}: there is no `adaptive:` section to go by", 2)
    serve_recommender(experiment, experiment.adaptive)


@app.command(rich_help_panel=PARTS)
def plan(
    file: ExperimentFile,
    to: Annotated[
        Path, typer.Option(help="The run's NeXus file, as its documents will name it.")
    ] = Path("run.nxs"),
) -> None:
    """The Bluesky plan: runs the cell, pauses it, scans, and leaves it at open circuit."""
    from .plan import run_plan

    raise typer.Exit(run_plan(part_of_a_run(file), to))


@app.command(rich_help_panel=PARTS)
def feed(
    file: ExperimentFile,
    recording: Annotated[
        Path | None, typer.Option(help="A recorded run; else the files of `frames`.")
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0.0, help="Frames a second; 0 = as fast as taken.")
    ] = 0.0,
) -> None:
    """Frames from files: puts detector files or a recorded run into a hub as if live."""
    from .feed import feed_files, feed_recording

    if recording is None:
        raise typer.Exit(feed_files(part_of_a_run(file)))
    feed_recording(recording, part_of_a_run(file), speed)


@app.command(rich_help_panel=PARTS)
def warm() -> None:
    """Compile and cache the kernels, so that the first frame does not wait for the compiler."""
    from .warm import warm_kernels

    warm_kernels(say)
