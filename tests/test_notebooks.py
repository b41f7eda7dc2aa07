"""The notebooks run from top to bottom, quietly, and keep to the rules of how notebooks look."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

LARGEST = 25
"""Cells a notebook may have."""


def name(path: Path) -> str:
    return path.stem


def cells(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def text(cell: dict) -> str:
    return "".join(cell["source"])


def shows_something(cell: dict) -> bool:
    """Whether a cell that has run shows a picture or a widget."""
    kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
    return bool(kinds & {"image/png", "image/svg+xml", "application/vnd.jupyter.widget-view+json"})


class Executed(NamedTuple):
    """A notebook that has just been run, with the CPU seconds and the bytes of memory that its kernel took."""

    notebook: nbformat.NotebookNode
    seconds: float
    peak: float


MEASURE = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from tests.memory import peak_memory
[time.process_time(), peak_memory()]
"""


RUN = """
import sys
import nbformat
from nbclient import NotebookClient
path, folder = sys.argv[1:]
notebook = nbformat.read(path, as_version=4)
NotebookClient(notebook, timeout=300, startup_timeout=300, resources={"metadata": {"path": folder}}).execute()
nbformat.write(notebook, path)
"""
"""Runs a notebook in a process of its own: beside the event loop of a browser test, answers of a kernel come late."""


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=name)
def executed(request, tmp_path_factory):
    """Run in a fresh kernel and an empty folder.

    CPU seconds, with one thread, are what an idle machine needs; a busy one does not make a slow notebook.
    """
    notebook = nbformat.read(request.param, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(MEASURE))
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    folder = tmp_path_factory.mktemp(request.param.stem)
    path = tmp_path_factory.mktemp("executed") / request.param.name
    nbformat.write(notebook, path)
    command = [sys.executable, "-c", RUN, str(path), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    notebook = nbformat.read(path, as_version=4)
    measured = json.loads(notebook.cells.pop().outputs[0].data["text/plain"])
    return Executed(notebook, *measured)


def test_there_is_a_first_notebook():
    assert (ROOT / "notebooks" / "01_first_jets.ipynb") in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_is_short_and_stored_without_outputs(path):
    assert len(cells(path)) <= LARGEST
    assert not [cell for cell in cells(path) if cell.get("outputs") or cell.get("execution_count")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_first_cell_says_what_one_will_be_able_to_do_and_what_it_takes(path):
    first = cells(path)[0]
    assert first["cell_type"] == "markdown"
    assert all(word in text(first) for word in ("you will", "minute", "memory"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_last_cell_has_an_exercise_and_the_way_to_the_dashboard(path):
    last = text(cells(path)[-1])
    assert "Exercise" in last
    assert "dashboards/compare.py" in last


@pytest.mark.notebook
def test_runs_in_under_two_minutes(executed):
    assert 1 < executed.seconds < 120


@pytest.mark.notebook
def test_needs_no_more_memory_than_it_says(executed):
    (said,) = re.findall(r"([\d.]+) GB of memory", executed.notebook.cells[0].source)
    assert 0.4 * float(said) < executed.peak / 1e9 < float(said)


@pytest.mark.notebook
def test_prints_no_warnings_and_no_banners(executed):
    streams = [
        (number, output["name"], output["text"])
        for number, cell in enumerate(executed.notebook.cells)
        for output in cell.get("outputs", [])
        if output["output_type"] == "stream"
    ]
    assert not streams


@pytest.mark.notebook
def test_shows_a_figure_or_a_widget_at_least_every_fourth_cell(executed):
    shown = [
        -1,
        *(k for k, cell in enumerate(executed.notebook.cells) if shows_something(cell)),
        len(executed.notebook.cells),
    ]
    gaps = [after - before - 1 for before, after in pairwise(shown)]
    assert max(gaps) <= 4, f"cells without a figure in a row: {gaps}"
