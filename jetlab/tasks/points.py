"""The points of a study: kept as they come, so that the same call goes on where it was stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jetlab.errors import JetLabError
from jetlab.train.checkpoints import write_atomically

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Points", "Rates", "keep_settings", "write_text"]

Rates = tuple[float, float]
"""Learning rates of head and backbone."""


class Points:
    """Finished points, kept in a folder as they come.

    Parameters
    ----------
    folder : Path or None
    settings : dict
        What the numbers depend on; points of other settings are refused.
    """

    def __init__(self, folder: Path | None, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        if folder is None:
            return
        keep_settings(folder, settings)
        self._read(folder / "points.csv")

    def add(self, row: dict[str, Any]) -> None:
        """Keep a point."""
        self.rows.append(row)
        if self.folder is not None:
            write_text(self.folder / "points.csv", self.frame().to_csv(index=False))

    def find(self, mode: str, size: int, seed: int) -> dict[str, Any] | None:
        """The point of this mode, number of labels and seed, if there is one."""
        wanted = (mode, size, seed)
        return next((r for r in self.rows if (r["mode"], r["labels"], r["seed"]) == wanted), None)

    def rates(self, mode: str, size: int, tune: int) -> Rates | None:
        """Above `tune`, the rates of the lowest mean validation loss at the largest size up to it; else None."""
        smaller = [r for r in self.rows if r["mode"] == mode and r["labels"] <= tune < size]
        if not smaller:
            return None
        largest = max(r["labels"] for r in smaller)
        losses: dict[Rates, list[float]] = {}
        for row in smaller:
            for lr, backbone_lr, loss in json.loads(row["trials"]) if row["labels"] == largest else []:
                losses.setdefault((lr, backbone_lr), []).append(loss)
        return min(losses, key=lambda rates: float(np.mean(losses[rates])))

    def frame(self) -> pd.DataFrame:
        """All points, sorted."""
        import pandas as pd

        frame = pd.DataFrame(self.rows)
        return frame.sort_values(["mode", "labels", "seed"], ignore_index=True) if len(frame) else frame

    def _read(self, path: Path) -> None:
        import pandas as pd

        if path.exists():
            self.rows = pd.read_csv(path).to_dict("records")


def keep_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write into a folder what its numbers depend on, or see that it is the same as before.

    Raises
    ------
    JetLabError
        If the folder holds numbers of other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    known = folder / "settings.json"
    if known.exists():
        _refuse_other(json.loads(known.read_text(encoding="utf-8")), json.loads(text), folder)
    else:
        write_text(known, text)


def write_text(place: Path, text: str) -> None:
    """Write a file whole or not at all, with the folder that it is in."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with write_atomically(place) as file:
        file.write(text.encode())


def _refuse_other(found: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    if differing:
        facts = "; ".join(f"{name} was {found.get(name)!s:.60} and is now {wanted[name]!s:.60}" for name in differing)
        msg = f"{folder} holds points of another study: {facts}. Give another folder as out"
        raise JetLabError(msg)
