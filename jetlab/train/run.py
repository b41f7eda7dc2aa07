"""`Run`: what a training did so far, and the numbers it kept."""

from __future__ import annotations

import math
import threading
from html import escape
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from jetlab.errors import CheckpointError, TrainingError
from jetlab.train.checkpoints import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["History", "Means", "Run"]

COUNTS = ("step", "epoch")
"""Columns of the history that are whole numbers."""


class Means:
    """Weighted running means of named terms."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._weights: dict[str, float] = {}

    def add(self, terms: Mapping[str, float], weight: float) -> None:
        """Take in one value of each term, which itself is a mean over `weight` items."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + weight * value
            self._weights[name] = self._weights.get(name, 0.0) + weight

    def values(self) -> dict[str, float]:
        """Give the means so far; a term without any items is NaN."""
        return {name: s / self._weights[name] if self._weights[name] else math.nan for name, s in self._sums.items()}

    def state_dict(self) -> dict[str, dict[str, float]]:
        """Return sums and weights, for a checkpoint."""
        return {"sums": dict(self._sums), "weights": dict(self._weights)}

    def load_state_dict(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Take over sums and weights from `state_dict`."""
        self._sums, self._weights = dict(state["sums"]), dict(state["weights"])


class History:
    """Rows of numbers by column name, mirrored in a CSV file as they come.

    Parameters
    ----------
    path : Path, optional
        The CSV file; rewritten at the first row, then appended to.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.rows: list[dict[str, float]] = []
        self._path = path
        self._columns: list[str] = []
        self._written = False

    def add(self, row: Mapping[str, float]) -> None:
        """Append a row; columns it lacks are NaN.

        Raises
        ------
        CheckpointError
            If the file cannot be written.
        """
        self.rows.append(dict(row))
        new = [name for name in row if name not in self._columns]
        self._columns += new
        if self._path is not None:
            self._write(self._path, row, whole=bool(new) or not self._written)

    def frame(self) -> pd.DataFrame:
        """Return the rows as a DataFrame."""
        import pandas as pd

        frame = pd.DataFrame(list(self.rows), columns=self._columns)
        return frame.astype({name: "int64" for name in COUNTS if name in frame})

    def state_dict(self) -> dict[str, Any]:
        """Column names and a float64 tensor (rows, columns), for a checkpoint."""
        rows = [[row.get(name, math.nan) for name in self._columns] for row in self.rows]
        return {"columns": list(self._columns), "rows": torch.tensor(rows, dtype=torch.float64)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over rows from `state_dict`; the file follows at the next row."""
        self._columns = list(state["columns"])
        self.rows = [
            {name: value for name, value in zip(self._columns, row, strict=True) if not math.isnan(value)}
            for row in state["rows"].tolist()
        ]
        self._written = False

    def _line(self, row: Mapping[str, float]) -> str:
        return ",".join(_cell(name, row.get(name)) for name in self._columns) + "\n"

    def _write(self, path: Path, row: Mapping[str, float], *, whole: bool) -> None:
        try:
            if not whole:
                with path.open("a", encoding="utf-8") as file:
                    file.write(self._line(row))
                return
            with write_atomically(path) as file:
                file.write((",".join(self._columns) + "\n" + "".join(map(self._line, self.rows))).encode())
        except OSError as error:
            msg = (
                f"{path} cannot be written at step {row.get('step')} ({error}). "
                "The last checkpoint is intact: make room and repeat the call to continue from it"
            )
            raise CheckpointError(msg) from error
        self._written = True


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if name in COUNTS else repr(float(value))


class Run:
    """A training and what it has reached; `fit` returns it finished or stopped.

    Attributes
    ----------
    model : torch.nn.Module
        The model that is trained, in place. After `fit` it holds the final weights (their average, if one was asked
        for) and is in evaluation mode.
    running : bool
        Whether steps are being taken.
    steps : int
        Updates done, earlier sittings included.
    total : int
        Updates planned.
    seconds : float
        Wall time of the training, earlier sittings included.
    best : dict or None
        ``step`` and validation terms (``loss`` and those of the objective) at the lowest validation loss.
    """

    def __init__(self, model: nn.Module, *, total: int, log: Path | None = None) -> None:
        self.model = model
        self.total = total
        self.running = False
        self.steps = 0
        self.seconds = 0.0
        self.best: dict[str, float] | None = None
        self.rows = History(log)
        self.best_weights: dict[str, Tensor] | None = None
        self._stop = threading.Event()

    @property
    def history(self) -> pd.DataFrame:
        """One row for each of the first 100 steps, every tenth step and every validation.

        Columns: ``step``, ``epoch``, ``seconds``, ``lr``; ``loss``, the objective's terms and ``grad_norm``, as means
        since the row before; ``valid_loss`` and ``valid_<term>``, NaN where there was no validation.
        """
        return self.rows.frame()

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.steps >= self.total

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the training to stop after the present step; may be called from another thread."""
        self._stop.set()

    def load_best(self) -> nn.Module:
        """Put the weights of the lowest validation loss into the model and return it.

        Raises
        ------
        TrainingError
            If there was no validation.
        """
        if self.best_weights is None:
            msg = "there are no best weights: pass valid data to fit, and let it validate at least once"
            raise TrainingError(msg)
        self.model.load_state_dict(self.best_weights)
        return self.model

    def plot(self) -> Figure:
        """Draw loss and learning rate against the step."""
        from jetlab import plots

        return plots.training_curves(self.history)

    def __repr__(self) -> str:
        facts = "; ".join(f"{name} {value}" for name, value in self._facts().items())
        return f"<Run: {facts}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(value)}</td></tr>"
            for name, value in self._facts().items()
        )
        return f"<table>{rows}</table>"

    def _facts(self) -> dict[str, str]:
        state = "running" if self.running else "finished" if self.finished else "stopped"
        facts = {"training": state, "steps": f"{self.steps:,} of {self.total:,}", "time": _duration(self.seconds)}
        if self.rows.rows and "loss" in self.rows.rows[-1]:
            facts["loss"] = f"{self.rows.rows[-1]['loss']:.4g}"
        if self.best is not None:
            facts["best validation loss"] = f"{self.best['loss']:.4g} at step {self.best['step']:,}"
        return facts


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
