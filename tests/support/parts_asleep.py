"""The parts of a run without what they do."""

from __future__ import annotations

import subprocess
import sys
import time

from operando.cli.parts import Parts


class Sleeping(Parts):
    """Parts whose command is a small Python program instead of operando."""

    program = "import time; time.sleep(60)"

    def _spawn(self, part):
        with (self._logs / f"{part.name}.log").open("ab") as log:
            part.process = subprocess.Popen(
                [sys.executable, "-c", self.program], stdin=subprocess.PIPE, stdout=log,
                stderr=subprocess.STDOUT, env=self._environment, start_new_session=True,
            )  # fmt: skip
        part.started.append(time.monotonic())
