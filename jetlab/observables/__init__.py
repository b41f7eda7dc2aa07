"""Observables of jets and constituents, by name.

>>> from jetlab import load_jets, observables
>>> table = observables.compute(load_jets("sample", n=1000), ["mass", "tau32"])

`OBSERVABLES` says of each what it is, how it is defined for jets of 0, 1 and 2 constituents, and how to bin it. The
formulas themselves are in `jetlab.observables.shapes` (closed forms) and `jetlab.observables.substructure` (FastJet).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from jetlab.jets import Jets
from jetlab.observables import shapes, substructure
from jetlab.observables.observable import Observable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["JET_OBSERVABLES", "OBSERVABLES", "Observable", "compute", "named"]

FloatArray = npt.NDArray[np.float64]


def _girth(jets: Jets) -> FloatArray:
    return _angularity(jets, beta=1.0)


def _les_houches(jets: Jets) -> FloatArray:
    return _angularity(jets, beta=0.5)


def _angularity(jets: Jets, *, beta: float) -> FloatArray:
    distance = shapes.distance_to_axis(jets.flat_p4, jets.offsets)
    return shapes.angularity(_fractions(jets), distance, jets.offsets, beta=beta)


def _fractions(jets: Jets) -> FloatArray:
    return shapes.momentum_fractions(jets.flat("pt").astype(np.float64), jets.offsets)


def _tau_ratio(jets: Jets, upper: int) -> FloatArray:
    tau, tau_before = substructure.subjettiness(jets, (upper, upper - 1)).T
    return np.divide(tau, tau_before, out=np.full(len(jets), np.nan), where=tau_before > 1e-9)


_OBSERVABLES = (
    Observable(
        "mass",
        "Jet mass",
        "GeV",
        "jet",
        lambda jets: jets.mass,
        "Invariant mass of the sum of all constituents; 0 without constituents.",
    ),
    Observable(
        "pt",
        "Jet pT",
        "GeV",
        "jet",
        lambda jets: jets.pt,
        "Transverse momentum of the sum of all constituents; 0 without constituents.",
    ),
    Observable(
        "multiplicity",
        "Constituents",
        "",
        "jet",
        lambda jets: jets.multiplicity.astype(np.float64),
        "Number of constituents.",
        integer=True,
    ),
    Observable(
        "girth",
        "Girth",
        "",
        "jet",
        _girth,
        "Σ zᵢ ΔRᵢ with zᵢ the share in the scalar sum of pT and ΔRᵢ the distance from the jet axis in rapidity and "
        "azimuth; undefined without constituents, 0 for one.",
        "arXiv:1106.3076",
    ),
    Observable(
        "lha",
        "LHA",
        "",
        "jet",
        _les_houches,
        "Les Houches angularity Σ zᵢ √ΔRᵢ, not divided by a jet radius; undefined without constituents, 0 for one.",
        "arXiv:1408.3122",
    ),
    Observable(
        "ptd",
        "pTD",
        "",
        "jet",
        lambda jets: shapes.pt_dispersion(_fractions(jets), jets.offsets),
        "Dispersion √(Σ zᵢ²): 1 for one constituent, 1/√k for k equal ones; undefined without constituents.",
        "CMS-PAS-JME-13-002",
    ),
    Observable(
        "tau21",
        "τ₂₁",
        "",
        "jet",
        lambda jets: _tau_ratio(jets, 2),
        "N-subjettiness ratio τ₂/τ₁ (β = 1, one-pass kT axes): small for two prongs; undefined for fewer than 2 "
        "constituents or when all share one direction, 0 for 2.",
        "arXiv:1011.2268",
    ),
    Observable(
        "tau32",
        "τ₃₂",
        "",
        "jet",
        lambda jets: _tau_ratio(jets, 3),
        "N-subjettiness ratio τ₃/τ₂ (β = 1, one-pass kT axes): small for three prongs; undefined for fewer than 3 "
        "constituents or when they share two directions, 0 for 3.",
        "arXiv:1011.2268",
    ),
    Observable(
        "sdmass",
        "Soft-drop mass",
        "GeV",
        "jet",
        substructure.soft_drop_mass,
        "Jet mass after soft drop with zcut = 0.1, β = 0; the constituent's mass for one, 0 without constituents.",
        "arXiv:1402.2657",
    ),
    Observable(
        "d2",
        "D₂",
        "",
        "jet",
        substructure.energy_correlation_d2,
        "Energy correlation ratio e₃/e₂³ (β = 1): small for two prongs; undefined for fewer than 2 constituents or "
        "when all share one direction, 0 for 2.",
        "arXiv:1409.6298",
    ),
    Observable(
        "constituent_pt",
        "Constituent pT",
        "GeV",
        "constituent",
        lambda jets: jets.flat("pt").astype(np.float64),
        "Transverse momentum of each constituent.",
        logarithmic=True,
    ),
    Observable(
        "constituent_deta",
        "Constituent Δη",
        "",
        "constituent",
        lambda jets: jets.flat("deta").astype(np.float64),
        "Pseudorapidity of each constituent relative to the jet axis.",
        lowest=-np.inf,
    ),
    Observable(
        "constituent_dphi",
        "Constituent Δφ",
        "rad",
        "constituent",
        lambda jets: jets.flat("dphi").astype(np.float64),
        "Azimuth of each constituent relative to the jet axis.",
        lowest=-np.inf,
    ),
)

OBSERVABLES: dict[str, Observable] = {o.name: o for o in _OBSERVABLES}
"""All observables by name."""

JET_OBSERVABLES = tuple(o.name for o in _OBSERVABLES if o.level == "jet")
"""Names of those with one value a jet."""

_BATCH = 1000


def named(name: str) -> Observable:
    """Return the observable with this name.

    Raises
    ------
    KeyError
        If there is none; the message lists the names.
    """
    if name not in OBSERVABLES:
        msg = f"unknown observable {name!r}; there are {', '.join(OBSERVABLES)}"
        raise KeyError(msg)
    return OBSERVABLES[name]


def compute(
    jets: Jets, names: Sequence[str] | None = None, *, progress: bool | Callable[[int, int], None] = False
) -> pd.DataFrame:
    """Compute observables of every jet.

    Parameters
    ----------
    jets : Jets
        The jets; any number of constituents.
    names : sequence of str, optional
        Names of jet-level observables; by default all of `JET_OBSERVABLES`.
    progress : bool or callable
        True shows a progress bar; a callable gets (jets done, all jets) after each batch.

    Returns
    -------
    pandas.DataFrame
        One row a jet, one float64 column an observable, NaN where it is undefined.

    Raises
    ------
    KeyError
        If a name is unknown or belongs to a constituent-level observable.
    """
    import pandas as pd

    chosen = [named(name) for name in (JET_OBSERVABLES if names is None else names)]
    for observable in chosen:
        if observable.level != "jet":
            msg = f"{observable.name} has one value a constituent; use OBSERVABLES[{observable.name!r}].compute(jets)"
            raise KeyError(msg)
    columns = {o.name: np.empty(len(jets)) for o in chosen}
    with _reporter(progress, len(jets)) as report:
        for start in range(0, len(jets), _BATCH):
            batch = jets[start : start + _BATCH]
            for observable in chosen:
                columns[observable.name][start : start + len(batch)] = observable.compute(batch)
            report(start + len(batch))
    return pd.DataFrame(columns)


@contextmanager
def _reporter(progress: bool | Callable[[int, int], None], total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that reports how many jets are done."""
    if progress is True:
        from tqdm.auto import tqdm

        with tqdm(total=total, unit="jet") as bar:
            yield lambda done: bar.update(done - bar.n)
    elif callable(progress):
        yield lambda done: progress(done, total)
    else:
        yield lambda done: None  # noqa: ARG005
