"""Settings of every test: one thread a process, figures into memory, the same random weights whatever ran before."""

from __future__ import annotations

import os
import sys

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Untrained models of a test have the same weights, in whatever order tests run."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
