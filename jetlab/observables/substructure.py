"""Jet shapes that need clustering, computed by FastJet and its contrib package, batch by batch.

The constituents of each jet are clustered again with Cambridge/Aachen and a radius so large that the whole jet is one
exclusive jet. Every function is defined for jets of 0, 1 and 2 constituents; what is undefined is NaN, never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetlab.errors import JetLabError
from jetlab.jets import Jets

__all__ = ["AXES", "energy_correlation_d2", "soft_drop_mass", "subjettiness"]

FloatArray = npt.NDArray[np.float64]

AXES = ("OnePass_KT_Axes", "KT_Axes", "WTA_KT_Axes", "OnePass_WTA_KT_Axes")
"""Axes that `subjettiness` offers, by their FastJet contrib names.

The default, exclusive kT axes followed by one minimisation, is the choice of Delphes and therefore of the ``jet_tau``
columns of JetClass. Plain kT axes give values larger by a tenth or so: compare only numbers with the same axes.
"""

_WHOLE_JET = 1000.0
_BATCH = 1000


def subjettiness(
    jets: Jets, n: Sequence[int] = (1, 2, 3), *, axes: str = AXES[0], beta: float = 1.0, radius: float = 0.8
) -> FloatArray:
    """N-subjettiness tau_N = sum_i pT_i min_k dR_ik^beta / (sum_i pT_i R0^beta) of each jet.

    A jet with at most N constituents has tau_N = 0, also the one without any.

    Parameters
    ----------
    jets : Jets
        The jets.
    n : sequence of int
        The numbers N of axes.
    axes : str
        How the axes are found: one of `AXES`.
    beta : float
        Exponent of the distance.
    radius : float
        Normalising radius R0.

    Returns
    -------
    array of float64, shape (number of jets, len(n))

    Raises
    ------
    JetLabError
        If the axes are unknown or an N is not positive.

    References
    ----------
    J. Thaler, K. Van Tilburg, arXiv:1011.2268 and arXiv:1108.2701.
    """
    if axes not in AXES or not n or min(n) < 1:
        asked = f"axes {axes!r} and N = {tuple(n)}"
        msg = f"no subjettiness with {asked}: expected axes among {', '.join(AXES)} and N of 1 or more"
        raise JetLabError(msg)

    def tau(clusters: Any) -> FloatArray:
        found = clusters.njettiness(
            measure_definition="NormalizedMeasure", axes_definition=axes, njets=list(n), beta=beta, R0=radius
        )
        return ak.to_numpy(found)

    values = _each_batch(jets, tau, width=len(n))
    values[jets.multiplicity[:, None] <= np.asarray(n)] = 0.0
    return values


def soft_drop_mass(jets: Jets, *, zcut: float = 0.1, beta: float = 0.0, radius: float = 0.8) -> FloatArray:
    """Mass of each jet after soft drop, in GeV, shape ``(n,)``.

    Cambridge/Aachen declustering stops where ``min(pT_1, pT_2) / (pT_1 + pT_2) > zcut (dR / R0)^beta``. A single
    constituent keeps its own mass; a jet without constituents has mass 0.

    Parameters
    ----------
    jets : Jets
        The jets.
    zcut, beta, radius : float
        Momentum sharing threshold, its angular exponent and the normalising radius R0.

    References
    ----------
    A. Larkoski, S. Marzani, G. Soyez, J. Thaler, arXiv:1402.2657.
    """

    def mass(clusters: Any) -> FloatArray:
        groomed = clusters.exclusive_jets_softdrop_grooming(njets=1, beta=beta, symmetry_cut=zcut, R0=radius)
        return ak.to_numpy(groomed.msoftdrop)[:, None]

    return np.maximum(_each_batch(jets, mass, width=1)[:, 0], 0.0)


def energy_correlation_d2(jets: Jets, *, beta: float = 1.0) -> FloatArray:
    """Energy correlation ratio D2 = e3 / e2^3 of each jet, shape ``(n,)``.

    ``e2 = sum_(i<j) z_i z_j dR_ij^beta`` and ``e3 = sum_(i<j<k) z_i z_j z_k (dR_ij dR_ik dR_jk)^beta``. It is 0 for two
    constituents and NaN where e2 vanishes: for none, for one, and for constituents all in the same direction.

    Parameters
    ----------
    jets : Jets
        The jets.
    beta : float
        Exponent of the distances.

    References
    ----------
    A. Larkoski, I. Moult, D. Neill, arXiv:1409.6298.
    """

    def correlators(clusters: Any) -> FloatArray:
        # "generic" with 2 or 3 points; FastJet ends the process on a name that it does not know
        correlator = partial(clusters.exclusive_jets_energy_correlator, njets=1, beta=beta, func="generic")
        return np.stack([np.asarray(correlator(npoint=points)) for points in (2, 3)], axis=1)

    e2, e3 = _each_batch(jets, correlators, width=2).T
    defined = (jets.multiplicity > 1) & (e2 > 1e-12)
    return np.divide(e3, e2**3, out=np.full(len(jets), np.nan), where=defined)


def _each_batch(jets: Jets, measure: Callable[[Any], FloatArray], *, width: int) -> FloatArray:
    """Measure jets with constituents, a batch at a time to bound the memory; other rows stay 0."""
    values = np.zeros((len(jets), width))
    filled = np.flatnonzero(jets.multiplicity > 0)
    for start in range(0, len(filled), _BATCH):
        rows = filled[start : start + _BATCH]
        values[rows] = measure(_clusters(jets[rows]))
    return values


def _clusters(jets: Jets) -> Any:
    """FastJet cluster sequence of each jet's constituents, without FastJet's banner."""
    import fastjet

    fastjet._swig.ClusterSequence.set_fastjet_banner_stream(None)
    energy, px, py, pz = jets.flat_p4.T
    contents = [ak.contents.NumpyArray(np.ascontiguousarray(v)) for v in (px, py, pz, energy)]
    record = ak.contents.RecordArray(contents, ["px", "py", "pz", "E"], parameters={"__record__": "Momentum4D"})
    events = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(jets.offsets), record))
    return fastjet.ClusterSequence(events, fastjet.JetDefinition(fastjet.cambridge_algorithm, _WHOLE_JET))
