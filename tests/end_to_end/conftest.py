"""The small dry run, once for all tests that look at what it left behind."""

from __future__ import annotations

import pytest
from whole_run import Finished, run


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The small dry run, once for all tests that look at what it left behind."""
    folder = tmp_path_factory.mktemp("quick") / "first"
    return run(folder, "demo", "--quick", "--offscreen")
