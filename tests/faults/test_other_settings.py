"""A reducer that an upgrade left behind: it runs, and reduces with the settings of yesterday."""

from __future__ import annotations

import numpy as np
import pytest
from fault_lab import FRAMES, Lab, take_scan
from operando.cli.experiment_file import dump, load
from operando.stream.members import Producer
from operando.stream.run_file import open_run

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path / "r")
    yield made
    made.end()


def test_what_a_reducer_with_other_settings_made_is_failed_by_name_and_not_in_the_maps(lab):
    lab.until_ready()
    now = load(lab.folder.experiment)
    analysis = now.analysis.model_copy(update={"consumers": {"intensity": {}, "powder": {}}})
    old = lab.folder.path / "old.yaml"
    old.write_text(dump(now.model_copy(update={"analysis": analysis})))
    lab.parts.start("reducer-old", "reduce", str(old), "--name", "reducer-old")
    lab.until(lambda: lab.works("reducer-old"))

    def leave_it_alone(index):
        for name in ("reducer-0", "reducer-1") if index == FRAMES // 2 else ():
            lab.parts.stop(lab.part(name))

    with Producer(lab.items, "source", window=8) as producer:
        take_scan(lab, producer, "s", 1, leave_it_alone)
    lab.until_settled(["s"])
    lab.end()
    account = lab.accounts["s"].group("process")
    assert 0 < len(account.failed) < FRAMES
    assert account.done + len(account.failed) == FRAMES
    assert all("reduced with other settings" in reason for reason in account.failed.values())
    with open_run(lab.folder.file) as run:
        (counts,) = [r for r in run.results("s") if r.final and r.name == "total_counts"]
    assert set(np.flatnonzero(np.isnan(counts.values.ravel()))) == set(account.failed)
