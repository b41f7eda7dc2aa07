"""The generated jet that looks most like a given true one, to be drawn beside it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from jetlab.errors import InvalidJetsError
from jetlab.jets import Jets

__all__ = ["nearest_jet"]


def nearest_jet(true: Jets, index: int, generated: Jets) -> int:
    """Index of the generated jet nearest to a true one in mass, pT and multiplicity.

    Each is measured in units of its spread (central 68 %) among the true jets.

    Parameters
    ----------
    true : Jets
        True jets.
    index : int
        Which of them.
    generated : Jets
        Candidates.

    Raises
    ------
    InvalidJetsError
        If there are no candidates.
    """
    if not len(generated):
        msg = "there is no nearest generated jet: no jets were generated"
        raise InvalidJetsError(msg)
    facts, candidates = _facts(true), _facts(generated)
    low, high = np.quantile(facts, [0.16, 0.84], axis=0)
    spread = np.where(high > low, high - low, 1.0)
    return int(np.argmin((((candidates - facts[index]) / spread) ** 2).sum(axis=1)))


def _facts(jets: Jets) -> npt.NDArray[np.float64]:
    return np.stack([jets.mass, jets.pt, jets.multiplicity.astype(np.float64)], axis=1)  # (n, 3)
