"""How good a generator is, class by class, and where the mass peaks stand: the figures of a model card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.evaluate import compare_by_class, with_uncertainty
from jetlab.observables import OBSERVABLES
from jetlab.samplers import generate
from jetlab.vocabulary import class_named

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from jetlab.jets import Jets

__all__ = ["CARD_OBSERVABLES", "PEAKED", "Quality", "generator_quality", "peak"]

CARD_OBSERVABLES = ("mass", "tau21", "tau32", "multiplicity", "constituent_pt")

PEAKED = ("Wqq", "Zqq", "Hbb", "Hcc", "Hgg", "H4q", "Tbqq")
"""Classes whose mass has a peak at the resonance."""


@dataclass(frozen=True)
class Quality:
    """Figures of a generator.

    Attributes
    ----------
    distances : pandas.DataFrame
        As from `jetlab.evaluate.compare_by_class`.
    peaks : pandas.DataFrame
        Per class with a mass peak: position and width of the peak [GeV] of true and generated jets with uncertainties.
    n_true, n_generated : int
        Jets of each class on either side (the fewest of any class).
    seed : int
    """

    distances: pd.DataFrame
    peaks: pd.DataFrame
    n_true: int
    n_generated: int
    seed: int

    def medians(self) -> pd.Series:
        """Median over the classes of each observable's multiple of the floor."""
        return self.distances.groupby("observable", sort=False)["multiple"].median()

    def report(self, command: str) -> str:
        """Markdown section of a model card: what was measured by which command, both tables.

        Parameters
        ----------
        command : str
            The command line that gives this result.
        """
        return (
            f"`{command}`: {self.n_generated:,} generated against {self.n_true:,} true jets of each class.\n\n"
            "Wasserstein-1 distance as a multiple of the truth-vs-truth floor at the same numbers of jets; in "
            "brackets the distance with its bootstrap uncertainty, in the unit of the observable.\n\n"
            f"{self._distance_table()}\n\n"
            "Peak of the jet mass: middle and length of the shortest interval that holds half of the jets, with "
            f"bootstrap uncertainties, in GeV.\n\n{self._peak_table()}"
        )

    def _distance_table(self) -> str:
        names = list(dict.fromkeys(self.distances["observable"]))
        heads = [f"{OBSERVABLES[n].title}" for n in names]
        lines = ["| class | " + " | ".join(heads) + " |", "|---" * (len(names) + 1) + "|"]
        for name, rows in self.distances.groupby("class", sort=False):
            cells = {r.observable: f"{r.multiple:.1f} ({with_uncertainty(r.w1, r.w1_err)})" for r in rows.itertuples()}
            lines.append(f"| {class_named(name).symbol} | " + " | ".join(cells[n] for n in names) + " |")
        medians = self.medians()
        lines.append("| **median** | " + " | ".join(f"**{medians[n]:.1f}**" for n in names) + " |")
        return "\n".join(lines)

    def _peak_table(self) -> str:
        lines = [
            "| class | peak, true [GeV] | peak, generated | width, true | width, generated |",
            "|---|---|---|---|---|",
        ]
        for name, r in self.peaks.iterrows():
            pairs = [
                with_uncertainty(r[f"{what}_{role}"], r[f"{what}_{role}_err"])
                for what in ("peak", "width")
                for role in ("true", "generated")
            ]
            lines.append(f"| {class_named(str(name)).symbol} | " + " | ".join(pairs) + " |")
        return "\n".join(lines)


def generator_quality(
    model: nn.Module | str,
    true: Jets,
    *,
    n: int | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    steps: int | None = None,
    observables: Sequence[str] = CARD_OBSERVABLES,
    progress: bool | Callable[[int, int], None] = True,
) -> Quality:
    """Generate jets and measure them against true ones, class by class.

    Parameters
    ----------
    model : OmniJet, JetFlow or str
        A model or its name.
    true : Jets
        Labelled jets that the model has not seen.
    n : int, optional
        Jets to generate in all; by default as many as there are true ones.
    seed : int
        Of generation and resampling.
    temperature, steps
        As for `jetlab.generate`.
    observables : sequence of str
        What to measure.
    progress : bool or callable
        Of the generation.

    Raises
    ------
    InvalidJetsError
        If the true jets carry no labels.
    """
    if true.label is None:
        msg = "the true jets carry no labels, so they cannot be compared class by class"
        raise InvalidJetsError(msg)
    classes = list(true.class_counts())
    generated = generate(
        model, n or len(true), classes=classes, seed=seed, temperature=temperature, steps=steps, progress=progress
    )
    distances = compare_by_class(true, generated, observables=observables, seed=seed)
    distances = distances[distances["class"].isin(classes)].reset_index(drop=True)
    fewest = [min(jets.class_counts().values()) for jets in (true, generated)]
    return Quality(distances, _peaks(true, generated, classes, seed), fewest[0], fewest[1], seed)


def _peaks(true: Jets, generated: Jets, classes: Sequence[str], seed: int) -> pd.DataFrame:
    import pandas as pd

    rows = {}
    for name in classes:
        if name not in PEAKED:
            continue
        row: dict[str, float] = {}
        for role, jets in (("true", true), ("generated", generated)):
            (position, position_err), (width, width_err) = peak(jets[name].mass, seed=seed)
            row |= {f"peak_{role}": position, f"peak_{role}_err": position_err}
            row |= {f"width_{role}": width, f"width_{role}_err": width_err}
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def peak(
    mass: npt.NDArray[np.float64], *, share: float = 0.5, seed: int = 0, bootstrap: int = 100
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Position and width of a mass peak: middle and length of the shortest interval that holds `share` of the jets.

    Parameters
    ----------
    mass : ndarray, shape (n,)
        Jet masses [GeV].
    share : float
        Between 0 and 1.
    seed, bootstrap : int
        Resamplings for the uncertainties.

    Returns
    -------
    (position, uncertainty), (width, uncertainty) : tuples of float
        In GeV.
    """
    rng = np.random.default_rng(seed)
    drawn = np.array([_shortest(rng.choice(mass, len(mass)), share) for _ in range(bootstrap)])
    position, width = _shortest(mass, share)
    return (position, float(drawn[:, 0].std())), (width, float(drawn[:, 1].std()))


def _shortest(values: npt.NDArray[np.float64], share: float) -> tuple[float, float]:
    ordered = np.sort(values)
    inside = max(int(share * len(ordered)), 1)
    lengths = ordered[inside:] - ordered[: len(ordered) - inside]
    if not lengths.size:
        return float(np.median(ordered)), 0.0
    start = int(np.argmin(lengths))
    return float(ordered[start] + lengths[start] / 2), float(lengths[start])
