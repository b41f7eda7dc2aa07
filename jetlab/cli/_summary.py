"""Jets in a short table: what a class holds, in the numbers that a physicist looks at first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jetlab.cli._terminal import table
from jetlab.vocabulary import CLASSES, class_named

if TYPE_CHECKING:
    import numpy as np

    from jetlab.jets import Jets

__all__ = ["show_jets"]

COLUMNS = ("Class", "Jets", "pT [GeV]", "Mass [GeV]", "Constituents")


def show_jets(jets: Jets) -> None:
    """Print the number of jets of each class and the medians (and central 68%) of pT, mass and multiplicity."""
    rows = [_row(_title(name), jets.of_class(name)) for name in jets.class_counts()]
    if len(rows) != 1:
        rows.append(_row("all", jets))
    table("Median, and the range of the central 68%", COLUMNS, rows)


def _row(title: str, jets: Jets) -> tuple[str, ...]:
    return (title, f"{len(jets):,}", _spread(jets.pt), _spread(jets.mass), _spread(jets.multiplicity))


def _spread(values: np.ndarray) -> str:
    import numpy as np

    if not len(values):
        return "-"
    low, median, high = np.quantile(values, [0.16, 0.5, 0.84])
    return f"{median:.0f} ({low:.0f} to {high:.0f})"


def _title(name: str) -> str:
    return f"{name}  {class_named(name).symbol}" if name in CLASSES else name
