"""Frames that come from files and not from a detector: the part that puts them into the hub."""

from __future__ import annotations

import time
from pathlib import Path

from ..stream.image_files import frames_from_files
from ..stream.image_readers import UnreadableImage
from ..stream.link import insist
from ..stream.messages import Status
from ..stream.replayer import replay
from ..stream.run_file import open_run
from .experiment import Experiment
from .parts import stop_when_asked
from .serve import configure_logging, producer_of

FLUSH_S = 120.0


def feed_recording(recording: Path, experiment: Experiment, speed: float) -> None:
    """Put a recorded run into the experiment's hub; speed: frames a second, 0 for no limit."""
    configure_logging()
    stop = stop_when_asked()
    with (
        open_run(recording) as run,
        producer_of(experiment, "replay", window=16) as producer,
    ):
        replay(run, lambda m: insist(producer.put, m, stop), frames_per_s=speed or None, stop=stop)
        producer.flush(FLUSH_S)


def feed_files(experiment: Experiment) -> int:
    """Put the files of the experiment's `frames` into its hub; the exit code."""
    configure_logging()
    stop = stop_when_asked()
    files = experiment.frames
    if files is None:
        print("operando: the experiment has no `frames:` section", flush=True)
        return 2
    with producer_of(experiment, "files", window=16) as producer:
        try:
            messages = frames_from_files(
                [Path(p) for p in files.paths],
                Path(experiment.geometry).read_text(encoding="utf-8"),
                files.orientation,
                mask=Path(files.mask) if files.mask else None,
                negatives=files.negatives,
                encoding="bslz4",
            )
            for message in messages:
                if stop.is_set():
                    break
                insist(producer.put, message, stop)
        except (OSError, ValueError, UnreadableImage) as error:
            print(f"operando: {error}", flush=True)
            producer.put(Status("files", "failed", time.time(), {"reason": str(error)}))
            return 1
        producer.flush(FLUSH_S)
    return 0
