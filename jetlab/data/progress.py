"""Telling how far a long piece of work is: a bar, or the caller's own function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

__all__ = ["Progress", "Reporter"]

Progress = bool | Callable[[int, int], None]
"""Whether to show a bar, or a function that is called with the numbers done and in total."""


class Reporter:
    """Tells how much is done, by a progress bar or a function; a context that closes the bar.

    Parameters
    ----------
    progress : bool or callable
        Show a progress bar, or call ``progress(done, total)``.
    total, done : int
        How much there is, and how much of it is done already.
    unit : str
        What is counted.
    """

    def __init__(self, progress: Progress, *, total: int, unit: str, done: int = 0) -> None:
        self._total, self._done = total, done
        self._call = progress if callable(progress) else None
        self._bar: Any = None
        if progress is True:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, initial=done, unit=unit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, n: int) -> None:
        """Count `n` more as done."""
        self._done += n
        if self._bar is not None:
            self._bar.update(n)
        if self._call is not None:
            self._call(self._done, self._total)
