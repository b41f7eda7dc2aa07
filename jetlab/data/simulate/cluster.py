"""Jets from candidates with FastJet: clustering, soft drop and N-subjettiness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from jetlab.data.clustering import Clusters, cluster, four_momenta, quiet_fastjet
from jetlab.data.simulate.candidates import Candidates, taken
from jetlab.data.simulate.selection import JetSelection

__all__ = ["FoundJets", "clean_constituents", "find_jets", "substructure"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_WHOLE_JET = 1000.0  # radius at which one jet takes all particles
_ABS_ETA_MAX, _ABS_PZ_MAX = 5.0, 10_000.0


@dataclass(frozen=True)
class FoundJets:
    """Jets of a batch of events.

    Parameters
    ----------
    event : ndarray of int, shape (n,)
        Event of each jet.
    eta, phi : ndarray of float, shape (n,)
        Jet axes.
    constituents : awkward.Array of int, shape (n, var)
        Indices of the constituents among the candidates.
    """

    event: IntArray
    eta: FloatArray
    phi: FloatArray
    constituents: ak.Array

    def __len__(self) -> int:
        return len(self.event)

    def __getitem__(self, where: npt.NDArray[Any]) -> FoundJets:
        return FoundJets(self.event[where], self.eta[where], self.phi[where], self.constituents[where])


def _four_momenta(candidates: Candidates, counts: IntArray) -> ak.Array:
    """Four-momenta grouped by these counts, as FastJet takes them."""
    return four_momenta(candidates.pt, candidates.eta, candidates.phi, candidates.energy, counts)


def find_jets(candidates: Candidates, n_events: int, selection: JetSelection) -> FoundJets:
    """Cluster the candidates of each event and keep the jets in the kinematic window.

    Parameters
    ----------
    candidates : Candidates
        Candidates ordered by event.
    n_events : int
        Number of events.
    selection : JetSelection
        Radius and window.
    """
    counts = np.bincount(candidates.event, minlength=n_events)
    found = cluster(
        _four_momenta(candidates, counts),
        algorithm=selection.algorithm,
        radius=selection.radius,
        pt_min=selection.pt_min,
    )
    pt = found.pt
    jets = FoundJets(
        event=found.event,
        eta=np.arcsinh(found.pz / np.maximum(pt, 1e-12)),
        phi=np.arctan2(found.py, found.px),
        constituents=found.constituents,
    )
    position = np.arctanh(found.pz / found.energy) if selection.rapidity else jets.eta
    window = (position > selection.eta_min) & (position < selection.eta_max)
    if selection.leading:
        window &= _leading(found, window)
    pt_max = np.inf if selection.pt_max is None else selection.pt_max
    return jets[window & (pt > selection.pt_min) & (pt < pt_max)]


def _leading(found: Clusters, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether each jet, shape ``(n,)``, has the largest pT of its event among those that are allowed."""
    pt = np.where(allowed, found.pt, 0.0)
    largest = np.zeros(int(found.event.max(initial=-1)) + 1)
    np.maximum.at(largest, found.event, pt)
    return pt == largest[found.event]


def substructure(candidates: Candidates, jets: FoundJets, selection: JetSelection) -> dict[str, FloatArray]:
    """Soft drop mass and N-subjettiness of jets.

    Parameters
    ----------
    candidates : Candidates
        Candidates the jets were made from.
    jets : FoundJets
        The jets, n of them.
    selection : JetSelection
        Jet radius and grooming.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        ``jet_sdmass`` in GeV and ``jet_tau1`` to ``jet_tau4`` (beta = 1, one-pass kT axes, normalised).
    """
    fastjet = quiet_fastjet()
    members = taken(candidates, ak.to_numpy(ak.flatten(jets.constituents)))
    momenta = _four_momenta(members, ak.to_numpy(ak.num(jets.constituents)))
    whole = fastjet.ClusterSequence(momenta, fastjet.JetDefinition(fastjet.cambridge_algorithm, _WHOLE_JET))
    groomed = whole.exclusive_jets_softdrop_grooming(
        njets=1, beta=selection.soft_drop_beta, symmetry_cut=selection.soft_drop_zcut, R0=selection.radius
    )
    tau = whole.njettiness(
        measure_definition="NormalizedMeasure",
        axes_definition="OnePass_KT_Axes",
        njets=[1, 2, 3, 4],
        beta=1,
        R0=selection.radius,
    )
    columns = {"jet_sdmass": ak.to_numpy(groomed.msoftdrop)}
    return columns | {f"jet_tau{n}": ak.to_numpy(tau[:, n - 1]) for n in range(1, 5)}


def clean_constituents(candidates: Candidates, jets: FoundJets) -> tuple[IntArray, Candidates]:
    """Constituents that are written out, sorted by falling pT.

    Parameters
    ----------
    candidates : Candidates
        Candidates the jets were made from.
    jets : FoundJets
        The jets, n of them.

    Returns
    -------
    offsets : ndarray of int, shape (n + 1,)
        Constituents of jet ``i`` are ``offsets[i]:offsets[i + 1]``.
    constituents : Candidates
        Flat constituents with physical momenta.
    """
    index = ak.to_numpy(ak.flatten(jets.constituents))
    jet = np.repeat(np.arange(len(jets)), ak.to_numpy(ak.num(jets.constituents)))
    pt, eta = candidates.pt[index], candidates.eta[index]
    good = (pt > 0) & (np.abs(eta) <= _ABS_ETA_MAX) & (np.abs(pt * np.sinh(eta)) <= _ABS_PZ_MAX)
    order = np.lexsort((-pt[good], jet[good]))
    counts = np.bincount(jet[good], minlength=len(jets))
    return np.concatenate([[0], np.cumsum(counts)]), taken(candidates, index[good][order])
