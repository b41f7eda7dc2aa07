"""The progress bar of the command line; imported only when something long is about to run in a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["progress_bar"]


class RateColumn(ProgressColumn):
    """Items per second, over the recent past while running and over the whole when finished."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Text of this column."""
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:,.3g} {self.unit}/s", style="progress.data.speed")


@contextlib.contextmanager
def progress_bar(doing: str, unit: str, console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show a bar with rate and time left; gives a function of (done, total)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        RateColumn(unit),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
