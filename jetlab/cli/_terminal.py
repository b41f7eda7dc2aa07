"""What every verb shows: one line at the start, progress, a short table, the paths written and the next command.

Results go to standard output; progress and errors to standard error, so that output can be piped.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

__all__ = ["Report", "announce", "facts", "fail", "markdown", "next_command", "note", "progress", "table", "wrote"]

PIPE_WIDTH = 100
"""Columns of tables that are not shown in a terminal."""

Report = Callable[[int, int], None]
"""Called with the number of items done and the total."""


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=None if stream.isatty() else PIPE_WIDTH)


def announce(text: str) -> None:
    """One line that says what is being done."""
    _console().print(text, style="bold", markup=False)


def wrote(path: Path) -> None:
    """Say that a file or folder was written, and how large it is."""
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    size = sum(f.stat().st_size for f in files)
    _console().print(f"Wrote {path} ({_size(size)})", markup=False)


def note(text: str) -> None:
    """One line of plain text."""
    _console().print(text, markup=False)


def next_command(command: str) -> None:
    """Name the command that is natural now."""
    _console().print(f"Next: {command}", style="cyan", markup=False)


def fail(message: str) -> None:
    """Show an error."""
    console = _console(stderr=True)
    console.print("Error: ", style="bold red", end="")
    console.print(message, markup=False)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column is text, the others are numbers."""
    from rich import box
    from rich.table import Table

    shown = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, name in enumerate(columns):
        shown.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*row)
    _console().print(shown, soft_wrap=False)


def facts(entries: Mapping[str, Any]) -> None:
    """Print names with their values, a line each; long values are cut to one line."""
    from rich.table import Table

    shown = Table.grid(padding=(0, 2))
    shown.add_column(style="bold", no_wrap=True, min_width=max(map(len, entries), default=0))
    shown.add_column(no_wrap=True, overflow="ellipsis")
    for name, value in entries.items():
        shown.add_row(name, str(value))
    _console().print(shown, markup=False, soft_wrap=False)


def markdown(text: str) -> None:
    """Print a document written in Markdown."""
    from rich.markdown import Markdown

    _console().print(Markdown(text), soft_wrap=False)


@contextlib.contextmanager
def progress(doing: str, *, unit: str = "jets") -> Iterator[Report]:
    """Show how far a piece of work is, with its rate and the time left.

    In a terminal this is a bar; in a log file it is a line for each tenth of the work.

    Parameters
    ----------
    doing : str
        What is being done, such as ``"Simulating"``.
    unit : str
        What is counted.
    """
    if not sys.stderr.isatty():
        yield _log_lines(doing, unit)
        return
    from jetlab.cli._bar import progress_bar

    with progress_bar(doing, unit, _console(stderr=True)) as report:
        yield report


def _log_lines(doing: str, unit: str) -> Report:
    start = time.monotonic()
    tenths = 0

    def report(done: int, total: int) -> None:
        nonlocal tenths
        if not total or done * 10 // total <= tenths:
            return
        tenths = done * 10 // total
        rate = done / max(time.monotonic() - start, 1e-9)
        left = f"{_duration((total - done) / rate)} left" if done < total else f"in {_duration(done / rate)}"
        sys.stderr.write(f"{doing}: {done:,} of {total:,} {unit}, {rate:,.3g} {unit}/s, {left}\n")

    return report


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
