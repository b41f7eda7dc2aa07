"""Processor time of the steps of a training."""

from __future__ import annotations

import time

__all__ = ["StepClock"]


class StepClock:
    """Reads the processor time whenever it is called, which is after every step; the rest of the call is ignored."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, *_: object) -> None:
        """Count a step."""
        self.times.append(time.process_time())

    def each(self, steps: slice = slice(None), *, warm_up: int = 1) -> float | None:
        """Mean processor time of a step [s], the first ones left out; None if too few were counted.

        Parameters
        ----------
        steps : slice
            Which of the steps so far.
        warm_up : int
            How many of these only begin the count.
        """
        counted = self.times[steps][warm_up - 1 :]
        return (counted[-1] - counted[0]) / (len(counted) - 1) if len(counted) > 1 else None
