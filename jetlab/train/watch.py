"""What a person sees of a training while it runs, and how they stop it."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jetlab.train.run import Run

__all__ = ["Show", "interrupt_stops", "shown"]


class Show(Protocol):
    """Takes in a finished step: its number counted from 1, its loss and its number of items."""

    def __call__(self, step: int, loss: float, items: int) -> None:
        """Show it."""
        ...


@contextlib.contextmanager
def shown(progress: bool | Callable[[int, int], None], *, title: str, done: int, total: int) -> Iterator[Show]:
    """Context that gives the function to be called after each step.

    Parameters
    ----------
    progress : bool or callable
        True shows a bar with loss, items per second and time left; a callable is given (done, total).
    title : str
        What the bar is called.
    done, total : int
        Steps already taken, and planned.
    """
    if progress is True:
        from tqdm.auto import tqdm

        with tqdm(desc=title, unit="step", initial=done, total=total, dynamic_ncols=True) as bar:
            yield _bar_updater(bar)
    elif progress is False:
        yield lambda step, loss, items: None  # noqa: ARG005
    else:
        yield lambda step, loss, items: progress(step, total)  # noqa: ARG005


def _bar_updater(bar: Any) -> Show:
    since, items_since = time.perf_counter(), 0

    def update(step: int, loss: float, items: int) -> None:
        nonlocal since, items_since
        items_since += items
        now = time.perf_counter()
        if now - since > 0.5 or step == bar.total:
            bar.set_postfix_str(f"loss {loss:.4g}, {items_since / (now - since):,.0f} items/s", refresh=False)
            since, items_since = now, 0
        bar.update(step - bar.n)

    return update


@contextlib.contextmanager
def interrupt_stops(run: Run) -> Iterator[None]:
    """Context in which Ctrl-C lets the present step finish and stops the run; a second Ctrl-C interrupts at once.

    Outside the main thread, or where Ctrl-C is ignored already, nothing changes.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before in (None, signal.SIG_IGN):
        yield
        return

    def ask(_number: int, _frame: Any) -> None:
        if run.stopping:
            raise KeyboardInterrupt
        run.stop()

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
