"""Which hard process makes which jets.

A recipe is data: a new kind of jet is a new `Recipe` among the `jetlab.data.simulate.settings.Settings` of its
collisions, nothing else. The processes of the ten classes follow JetClass (arXiv:2202.03772) as closely as
leading-order Pythia 8 allows.
"""

from __future__ import annotations

from dataclasses import dataclass

from jetlab.data.simulate.truth import TRUTH_CODES

__all__ = ["DIS", "JETCLASS", "QUARK_GLUON", "TOP_TAGGING", "Recipe"]

_Z_TO_NEUTRINOS = ("23:onMode = off", "23:onIfAny = 12 14 16")
_W_TO_QUARKS = ("24:onMode = off", "24:onIfAny = 1 2 3 4 5")
_HIGGS_WITH_Z = ("HiggsSM:ffbar2HZ = on", *_Z_TO_NEUTRINOS, "25:m0 = 125.", "25:onMode = off")
_HIGGS_TO_WW = (*_HIGGS_WITH_Z, "25:onIfMatch = 24 -24", "24:onMode = off")
_TOP_PAIR = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on")
_Z_AND_GLUON = "WeakBosonAndParton:qqbar2gmZg = on"
_Z_AND_QUARK = "WeakBosonAndParton:qg2gmZq = on"
_NO_PHOTON = "WeakZ0:gmZmode = 2"


@dataclass(frozen=True)
class Recipe:
    """How jets of one class are generated.

    Parameters
    ----------
    name : str
        Class name.
    process : tuple of str
        Pythia settings of the hard process and its decays.
    codes : tuple of int
        Truth codes (``aux_truth_match``) of the jets that are kept.
    jets_per_event : float
        Expected number of kept jets an event; only decides how many events are generated at once.
    conjugate : tuple of str, optional
        Settings that replace `process` in every second chunk, where particle and antiparticle must be treated alike.
    """

    name: str
    process: tuple[str, ...]
    codes: tuple[int, ...]
    jets_per_event: float
    conjugate: tuple[str, ...] = ()


def _codes(*names: str) -> tuple[int, ...]:
    """Truth codes by name."""
    return tuple(TRUTH_CODES[name] for name in names)


JETCLASS = (
    Recipe("QCD", (_Z_AND_GLUON, _Z_AND_QUARK, _NO_PHOTON, *_Z_TO_NEUTRINOS), _codes("QCD"), 0.48),
    Recipe("Hbb", (*_HIGGS_WITH_Z, "25:onIfMatch = 5 -5"), _codes("Hbb"), 0.38),
    Recipe("Hcc", (*_HIGGS_WITH_Z, "25:onIfMatch = 4 -4"), _codes("Hcc"), 0.42),
    Recipe("Hgg", (*_HIGGS_WITH_Z, "25:onIfMatch = 21 21"), _codes("Hgg"), 0.46),
    Recipe("H4q", (*_HIGGS_TO_WW, "24:onIfAny = 1 2 3 4 5"), _codes("Hww4q"), 0.40),
    Recipe(
        "Hqql",
        (*_HIGGS_TO_WW, "24:onPosIfAny = 1 2 3 4 5", "24:onNegIfAny = 11 13"),
        _codes("Hww2q1l"),
        0.20,
        conjugate=(*_HIGGS_TO_WW, "24:onNegIfAny = 1 2 3 4 5", "24:onPosIfAny = 11 13"),
    ),
    Recipe(
        "Zqq",
        ("WeakDoubleBoson:ffbar2gmZgmZ = on", _NO_PHOTON, "23:onMode = off", "23:onIfAny = 1 2 3 4 5"),
        _codes("Zbb", "Zcc", "Zqq"),
        0.90,
    ),
    Recipe("Wqq", ("WeakDoubleBoson:ffbar2ZW = on", *_Z_TO_NEUTRINOS, *_W_TO_QUARKS), _codes("Wcq", "Wqq"), 0.45),
    Recipe("Tbqq", (*_TOP_PAIR, *_W_TO_QUARKS), _codes("Tbcq", "Tbqq"), 0.52),
    Recipe("Tbl", (*_TOP_PAIR, "24:onMode = off", "24:onIfAny = 11 13"), _codes("Tben", "Tbmn"), 0.25),
)
"""The ten classes of JetClass: everything recoils against a Z to neutrinos, or its own kind."""

QUARK_GLUON = (
    Recipe("gluon", (_Z_AND_GLUON, _NO_PHOTON, *_Z_TO_NEUTRINOS), _codes("gluon"), 0.09),
    Recipe("quark", (_Z_AND_QUARK, _NO_PHOTON, *_Z_TO_NEUTRINOS), _codes("quark"), 0.10),
)
"""A Z to neutrinos and one parton; quarks are u, d and s."""

TOP_TAGGING = (
    Recipe("QCD", ("HardQCD:all = on",), _codes("QCD"), 0.20),
    Recipe("top", (*_TOP_PAIR, *_W_TO_QUARKS), _codes("Tbcq", "Tbqq"), 0.13),
)
"""Dijets, and pairs of top quarks to quarks."""

_NEUTRAL_CURRENT = (
    "WeakBosonExchange:ff2ff(t:gmZ) = on",
    "TimeShower:QEDshowerByL = off",
    "TimeShower:QEDshowerByQ = off",
    "SpaceShower:QEDshowerByQ = off",
)

DIS = (
    Recipe(
        "Pythia",
        (*_NEUTRAL_CURRENT, "SpaceShower:dipoleRecoil = on", "SpaceShower:pTmaxMatch = 2"),
        _codes("DIS"),
        0.43,
    ),
    Recipe(
        "Vincia",
        (*_NEUTRAL_CURRENT, "PartonShowers:model = 2", "Vincia:ewMode = 0", "Print:verbosity = 1"),
        _codes("DIS"),
        0.43,
    ),
)
"""Neutral currents with the parton shower of Pythia and with that of Vincia, neither with photons."""
