"""The RunEngine as the plans use it, beside what else a process may have loaded."""

import os
import subprocess
import sys

import pytest
from bluesky import plan_stubs as bps
from operando.plans.engine import make_engine, run_safely
from operando.plans.safety import NotSafe

# a window was shown and closed: whoever waits in Qt's loop afterwards does not wait at all
BESIDE_QT = """
import matplotlib
matplotlib.use("qtagg")
from PySide6.QtWidgets import QApplication
import bluesky.plan_stubs as bps
from operando.plans.engine import make_engine

app = QApplication([])
app.exit()
done = []

def plan():
    yield from bps.sleep(1.0)
    done.append("slept")

make_engine()(plan())
print(done)
"""


def test_a_plan_is_waited_for_also_where_matplotlib_has_loaded_qt():
    said = subprocess.run(
        [sys.executable, "-c", BESIDE_QT], capture_output=True, text=True, timeout=120,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"}, check=False,
    )  # fmt: skip
    assert said.stdout.strip() == "['slept']", said.stderr


def test_the_cell_is_told_once_more_also_where_the_end_of_the_plan_fails():
    told = []

    class Cell:
        def stop(self, *, success=False):
            told.append(success)

    def plan():
        try:
            yield from bps.checkpoint()
            yield from bps.pause()
        finally:
            raise NotSafe("the detector")

    with pytest.raises(NotSafe, match="the detector"):
        run_safely(make_engine(), plan(), Cell())
    assert told == [True]
