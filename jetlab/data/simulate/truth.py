"""Truth matching: which jets contain a whole decay of a top quark, Higgs, W or Z boson, and where hard partons went.

The codes and the conditions are those of JetClass (arXiv:2202.03772): every visible leg of the decay lies within the
jet radius of the jet axis. Quarks are taken right after the decay, leptons after their radiation. Codes from 61 on are
those of jets that JetClass does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from jetlab.data.simulate.pythia import Events
from jetlab.jets import wrap_phi

__all__ = [
    "QCD_CODE",
    "TRUTH_CODES",
    "Decays",
    "Matches",
    "distance_to",
    "hard_decays",
    "hard_partons",
    "match_jets",
    "scattered_leptons",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

QCD_CODE = 50

TRUTH_CODES = {
    "Tbcq": 11,
    "Tbqq": 12,
    "Tben": 15,
    "Tbmn": 16,
    "Wcq": 21,
    "Wqq": 22,
    "Zbb": 31,
    "Zcc": 32,
    "Zqq": 33,
    "Hbb": 41,
    "Hcc": 42,
    "Hqq": 43,
    "Hgg": 44,
    "Hww4q": 45,
    "Hww2q1l": 46,
    "QCD": QCD_CODE,
    "gluon": 61,
    "quark": 62,
    "heavy quark": 63,
    "DIS": 71,
}
"""Values of ``aux_truth_match`` by decay or parton."""

_C, _B, _TOP = 4, 5, 6
_ELECTRON, _MUON = 11, 13
_GLUON, _Z, _W, _HIGGS = 21, 23, 24, 25
_OUTGOING_RESONANCE = -22  # Pythia status of a resonance made in the hard process
_OUTGOING = 23  # and, up to its sign, of any other particle made there
_INCOMING_PARTON = 3  # row of the first incoming parton
_N_LEGS = 4


@dataclass(frozen=True)
class Decays:
    """Decays of the resonances made in the hard process, flat over events.

    Parameters
    ----------
    event : ndarray of int, shape (n,)
        Event number, rising.
    resonance : ndarray of int, shape (n,)
        Row of the resonance just before its decay.
    code : ndarray of int, shape (n,)
        Truth code of a jet that contains all legs; 0 if no jet counts, as for neutrinos.
    legs : ndarray of int, shape (n, 4)
        Rows of the quarks, gluons and charged leptons it decays to, filled up with -1.
    """

    event: IntArray
    resonance: IntArray
    code: IntArray
    legs: IntArray


@dataclass(frozen=True)
class Matches:
    """What jets are matched to; every array has shape ``(n_jets,)``.

    Parameters
    ----------
    code : ndarray of int
        Truth code; 0 for a jet that misses part of the decays of its event.
    resonance : ndarray of int
        Row of the matched resonance or parton, -1 for none.
    columns : mapping of str to ndarray of float
        What else is known about the event of each jet.
    """

    code: IntArray
    resonance: IntArray
    columns: Mapping[str, FloatArray] = field(default_factory=dict)

    def __getitem__(self, where: npt.NDArray[np.bool_]) -> Matches:
        columns = {name: values[where] for name, values in self.columns.items()}
        return Matches(self.code[where], self.resonance[where], columns)


class _Record:
    """Walks through event records; rows count over all events."""

    def __init__(self, events: Events) -> None:
        start = events.offsets[:-1][events.event]
        self.pid = events.pid
        self.kind = np.abs(events.pid)
        self._first, self._last = events.daughter1 + start, events.daughter2 + start

    def children(self, rows: IntArray) -> IntArray:
        """Both decay products, shape ``(n, 2)``."""
        return np.stack([self._first[rows], self._last[rows]], axis=1)

    def last_copy(self, rows: IntArray) -> IntArray:
        """Follow particles through recoil and radiation until they decay or leave."""
        while len(rows):
            children = self.children(rows)
            same = self.pid[children] == self.pid[rows, None]
            if not same.any():
                break
            rows = np.where(same[:, 0], children[:, 0], np.where(same[:, 1], children[:, 1], rows))
        return rows

    def before_radiation(self, rows: IntArray) -> IntArray:
        """Follow particles through recoil until they radiate or leave."""
        while len(rows):
            children = self.children(rows)
            alone = (children[:, 0] == children[:, 1]) & (self.pid[children[:, 0]] == self.pid[rows])
            if not alone.any():
                break
            rows = np.where(alone, children[:, 0], rows)
        return rows


def hard_decays(events: Events) -> Decays:
    """Find the decays of all resonances made in the hard process.

    Parameters
    ----------
    events : Events
        Full event records.
    """
    record = _Record(events)
    hard = (events.status == _OUTGOING_RESONANCE) & (events.mother1 == _INCOMING_PARTON)
    made = np.flatnonzero(hard & np.isin(record.kind, list(_RULES)))
    resonance = record.last_copy(made)
    code = np.zeros(len(made), dtype=np.int64)
    legs = np.full((len(made), _N_LEGS), -1, dtype=np.int64)
    for kind, rule in _RULES.items():
        chosen = record.kind[resonance] == kind
        code[chosen], found = rule(record, resonance[chosen])
        legs[chosen, : found.shape[1]] = found
    return Decays(event=events.event[made], resonance=resonance, code=code, legs=legs)


def hard_partons(events: Events) -> IntArray:
    """Rows of the outgoing quarks and gluons of the hard process, just before they radiate; in the order of events."""
    record = _Record(events)
    return record.before_radiation(_made(events, (record.kind <= _B) | (record.kind == _GLUON)))


def scattered_leptons(events: Events) -> IntArray:
    """Rows of the scattered electrons of neutral currents, shape ``(n_events,)``, after their radiation."""
    record = _Record(events)
    return record.last_copy(_made(events, record.kind == _ELECTRON))


def _made(events: Events, kind: npt.NDArray[np.bool_]) -> IntArray:
    """Rows of particles of a kind that the hard process made and that are no resonances."""
    return np.flatnonzero(kind & (np.abs(events.status) == _OUTGOING) & (events.mother1 == _INCOMING_PARTON))


def _top_decays(record: _Record, top: IntArray) -> tuple[IntArray, IntArray]:
    """Codes and legs (n, 3) of top quarks: b and two quarks, or b and an electron or muon."""
    children = record.children(top)
    w_first = record.kind[children[:, 0]] == _W
    w = record.last_copy(np.where(w_first, children[:, 0], children[:, 1]))
    b = np.where(w_first, children[:, 1], children[:, 0])
    products = record.children(w)
    kind = record.kind[products]
    quarks: npt.NDArray[np.bool_] = np.all(kind <= _B, axis=1)
    lepton = record.last_copy(np.where(_is_lepton(kind[:, 0]), products[:, 0], products[:, 1]))
    hadronic = np.where((kind >= _C).any(axis=1), TRUTH_CODES["Tbcq"], TRUTH_CODES["Tbqq"])
    leptonic = np.select(
        [(kind == _ELECTRON).any(axis=1), (kind == _MUON).any(axis=1)], [TRUTH_CODES["Tben"], TRUTH_CODES["Tbmn"]]
    )
    with_quarks = np.stack([b, products[:, 0], products[:, 1]], axis=1)
    with_lepton = np.stack([b, lepton, np.full_like(b, -1)], axis=1)
    return np.where(quarks, hadronic, leptonic), np.where(quarks[:, None], with_quarks, with_lepton)


def _w_decays(record: _Record, w: IntArray) -> tuple[IntArray, IntArray]:
    """Codes and legs (n, 2) of W bosons; only those to quarks count."""
    products = record.children(w)
    kind = record.kind[products]
    code = np.where((kind >= _C).any(axis=1), TRUTH_CODES["Wcq"], TRUTH_CODES["Wqq"])
    return np.where((kind <= _B).all(axis=1), code, 0), products


def _z_decays(record: _Record, z: IntArray) -> tuple[IntArray, IntArray]:
    """Codes and legs (n, 2) of Z bosons; only those to quarks count."""
    products = record.children(z)
    kind = record.kind[products]
    flavour = [(kind == _B).all(axis=1), (kind == _C).all(axis=1), (kind <= _B).all(axis=1)]
    return np.select(flavour, [TRUTH_CODES["Zbb"], TRUTH_CODES["Zcc"], TRUTH_CODES["Zqq"]]), products


def _higgs_decays(record: _Record, higgs: IntArray) -> tuple[IntArray, IntArray]:
    """Codes and legs (n, 4) of Higgs bosons: two quarks or gluons, or the quarks and leptons of two W bosons."""
    children = record.children(higgs)
    kind = record.kind[children]
    pair = [(kind == k).all(axis=1) for k in (_B, _C, _GLUON)] + [(kind <= _B).all(axis=1)]
    code = np.select(pair, [TRUTH_CODES[name] for name in ("Hbb", "Hcc", "Hgg", "Hqq")])
    legs = np.concatenate([children, np.full_like(children, -1)], axis=1)
    via_w = (kind == _W).all(axis=1)
    code[via_w], legs[via_w] = _w_pair_decays(record, children[via_w])
    return code, legs


def _w_pair_decays(record: _Record, pair: IntArray) -> tuple[IntArray, IntArray]:
    """Codes and legs (n, 4) of pairs of W bosons, shape ``(n, 2)``, from a Higgs."""
    w = record.last_copy(pair.ravel())
    products = record.children(w).reshape(-1, _N_LEGS)
    kind = record.kind[products]
    quark, lepton = kind <= _B, _is_lepton(kind)
    after_radiation = record.last_copy(products.ravel()).reshape(products.shape)
    legs = np.select([quark, lepton], [products, after_radiation], default=-1)
    n_quarks, n_leptons = quark.sum(axis=1), lepton.sum(axis=1)
    hadronic, semileptonic = n_quarks == 4, (n_quarks == 2) & (n_leptons == 1)
    return np.select([hadronic, semileptonic], [TRUTH_CODES["Hww4q"], TRUTH_CODES["Hww2q1l"]]), legs


def _is_lepton(kind: IntArray) -> npt.NDArray[np.bool_]:
    return (kind == _ELECTRON) | (kind == _MUON)


_RULES = {_TOP: _top_decays, _HIGGS: _higgs_decays, _W: _w_decays, _Z: _z_decays}


def match_jets(
    events: Events, event: IntArray, eta: FloatArray, phi: FloatArray, *, radius: float, decays: Decays | None = None
) -> Matches:
    """Match jets to decays that lie within them completely.

    Parameters
    ----------
    events : Events
        Full event records.
    event : ndarray of int, shape (n_jets,)
        Event of each jet.
    eta, phi : ndarray of float, shape (n_jets,)
        Jet axes.
    radius : float
        Largest distance of a leg from the jet axis.
    decays : Decays, optional
        Decays of these events, if they are known already.

    Returns
    -------
    Matches
        Jets of events without any decay that counts have the code of QCD.
    """
    decays = hard_decays(events) if decays is None else decays
    counting = decays.code > 0
    first = np.searchsorted(decays.event, event, side="left")
    count = np.searchsorted(decays.event, event, side="right") - first
    code = np.where(np.isin(event, decays.event[counting]), 0, QCD_CODE)
    resonance = np.full(len(event), -1, dtype=np.int64)
    for k in range(int(count.max(initial=0))):
        decay = np.where(k < count, first + k, 0)
        free = (k < count) & (resonance < 0) & counting[decay]
        inside = _all_within(events, decays.legs[decay], eta, phi, radius) & free
        code = np.where(inside, decays.code[decay], code)
        resonance = np.where(inside, decays.resonance[decay], resonance)
    return Matches(code=code, resonance=resonance)


def _all_within(
    events: Events, legs: IntArray, eta: FloatArray, phi: FloatArray, radius: float
) -> npt.NDArray[np.bool_]:
    """Whether all legs (n_jets, 4) lie within the radius of their jet axis."""
    inside: npt.NDArray[np.bool_] = distance_to(events, legs, eta[:, None], phi[:, None]) < radius
    return np.all(inside | (legs < 0), axis=1)


def distance_to(events: Events, rows: IntArray, eta: FloatArray, phi: FloatArray) -> FloatArray:
    """Distance of particles from directions in the plane of pseudorapidity and azimuth; the shapes are broadcast."""
    px, py, pz = events.px[rows], events.py[rows], events.pz[rows]
    deta = np.arcsinh(pz / np.maximum(np.hypot(px, py), 1e-12)) - eta
    return np.hypot(deta, wrap_phi(np.arctan2(py, px) - phi))
