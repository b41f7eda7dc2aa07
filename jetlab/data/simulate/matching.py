"""What jets are compared with, by the kind of collision: whole decays, top quarks, partons, or the event itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from jetlab.data.simulate.cluster import FoundJets
from jetlab.data.simulate.pythia import Events
from jetlab.data.simulate.settings import Settings
from jetlab.data.simulate.truth import (
    TRUTH_CODES,
    Matches,
    distance_to,
    hard_decays,
    hard_partons,
    match_jets,
    scattered_leptons,
)

__all__ = ["MATCHINGS", "deep_inelastic"]

FloatArray = npt.NDArray[np.float64]

_GLUON, _STRANGE = 21, 3
_FIRST_BEAM, _SECOND_BEAM = 1, 2  # rows of an event


def _to_decays(events: Events, jets: FoundJets, settings: Settings) -> Matches:
    """Match to resonances whose decay products all lie in the jet."""
    return match_jets(events, jets.event, jets.eta, jets.phi, radius=settings.jets.radius)


def _to_tops(events: Events, jets: FoundJets, settings: Settings) -> Matches:
    """Match to top quarks that lie in the jet themselves, as all their decay products do."""
    decays = hard_decays(events)
    legs = decays.legs.copy()
    legs[:, -1] = np.where(legs[:, -1] < 0, decays.resonance, legs[:, -1])
    whole = replace(decays, legs=legs)
    return match_jets(events, jets.event, jets.eta, jets.phi, radius=settings.jets.radius, decays=whole)


def _to_partons(events: Events, jets: FoundJets, settings: Settings) -> Matches:
    """Match to the nearest outgoing parton of the hard process in the jet."""
    partons = hard_partons(events)
    of_event = events.event[partons]
    first = np.searchsorted(of_event, jets.event, side="left")
    count = np.searchsorted(of_event, jets.event, side="right") - first
    nearest = np.full(len(jets), settings.jets.radius)
    parton = np.full(len(jets), -1)
    for k in range(int(count.max(initial=0))):
        there = k < count
        row = partons[np.where(there, first + k, 0)]
        distance = np.where(there, distance_to(events, row, jets.eta, jets.phi), np.inf)
        parton = np.where(distance < nearest, row, parton)
        nearest = np.minimum(distance, nearest)
    kind = np.abs(events.pid[parton])
    code = np.select(
        [parton < 0, kind == _GLUON, kind <= _STRANGE],
        [0, TRUTH_CODES["gluon"], TRUTH_CODES["quark"]],
        default=TRUTH_CODES["heavy quark"],
    )
    return Matches(code=code, resonance=parton)


def _to_scattering(events: Events, jets: FoundJets, settings: Settings) -> Matches:
    """Take all jets of events in the window of inelasticity; ``Q2`` [GeV2] and ``y`` of the event go with them."""
    q2, y = deep_inelastic(events)
    low, high = settings.inelasticity or (0.0, 1.0)
    code = np.where((y > low) & (y < high), TRUTH_CODES["DIS"], 0)
    of_jet = {"Q2": q2[jets.event], "y": y[jets.event]}
    return Matches(code=code[jets.event], resonance=np.full(len(jets), -1), columns=of_jet)


MATCHINGS: dict[str, Callable[[Events, FoundJets, Settings], Matches]] = {
    "decay": _to_decays,
    "top": _to_tops,
    "parton": _to_partons,
    "dis": _to_scattering,
}
"""Matchings by name."""


def deep_inelastic(events: Events) -> tuple[FloatArray, FloatArray]:
    """Negative squared momentum transfer and inelasticity of deep-inelastic events.

    Parameters
    ----------
    events : Events
        Full records of collisions of a hadron with a lepton, n of them.

    Returns
    -------
    q2, y : ndarray of float, shape (n,)
        ``Q2 = -q.q`` in GeV2 and ``y = p.q / p.k``, where ``q`` is what the lepton of momentum ``k`` loses and ``p``
        the momentum of the hadron.
    """
    start = events.offsets[:-1]
    hadron, lepton = _four_momenta(events, start + _FIRST_BEAM), _four_momenta(events, start + _SECOND_BEAM)
    exchanged = lepton - _four_momenta(events, scattered_leptons(events))
    return -_product(exchanged, exchanged), _product(hadron, exchanged) / _product(hadron, lepton)


def _four_momenta(events: Events, rows: npt.NDArray[np.int64]) -> FloatArray:
    """(E, px, py, pz) of these rows, shape ``(n, 4)``."""
    momentum = np.stack([events.px[rows], events.py[rows], events.pz[rows]], axis=1)  # (n, 3)
    energy = np.sqrt((momentum**2).sum(axis=1) + events.mass[rows] ** 2)
    return np.concatenate([energy[:, None], momentum], axis=1)


def _product(a: FloatArray, b: FloatArray) -> FloatArray:
    """Minkowski product of rows, shape ``(n,)``."""
    return a[:, 0] * b[:, 0] - (a[:, 1:] * b[:, 1:]).sum(axis=1)
