"""Events that cannot give a jet end early, before most of the time has gone into them.

Nine tenths of an event's time are multiparton interactions below a few GeV, hadronisation and the detector. By then the
recoil and all hard radiation are known, and with them, up to a few per cent, the momentum of the jets to come.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from jetlab.data.simulate.selection import JetSelection, VetoMargins

__all__ = ["Seed", "early_veto", "may_give_jet"]

_RESONANCES = (6, 23, 24, 25)
_NEUTRINOS = (12, 14, 16)
_HARDEST_FIRST = 3
_FIRST_ROW = 5  # rows 0 to 4 are the event itself, the beams and the incoming partons
_INCOMING = 3
_IN_RESONANCE_DECAY = 5  # Pythia asks again for each decay


class Seed(NamedTuple):
    """Something hard that a jet may form around: transverse momentum [GeV] and direction."""

    pt: float
    eta: float
    phi: float


class _Decay(NamedTuple):
    """How a resonance decays: its PDG code, the visible share of its pT, and the largest distance of a visible leg."""

    pid: int
    share: float
    spread: float


def may_give_jet(seeds: Sequence[Seed], others: Sequence[Seed], selection: JetSelection, margins: VetoMargins) -> bool:
    """Whether a jet that is selected may form around one of the seeds.

    Parameters
    ----------
    seeds : sequence of Seed
        Visible parts of resonances, or the hardest partons.
    others : sequence of Seed
        All other partons.
    selection : JetSelection
        Which jets are selected.
    margins : VetoMargins
        How careful to be.
    """
    return any(
        selection.eta_min - margins.abs_eta < seed.eta < selection.eta_max + margins.abs_eta
        and seed.pt
        + sum(o.pt for o in others if o is not seed and _distance(o, seed) < margins.reach * selection.radius)
        > margins.pt_share * selection.pt_min
        for seed in seeds
    )


def early_veto(selection: JetSelection, margins: VetoMargins) -> Any:
    """A ``UserHooks`` for Pythia that ends events without hope; keep a reference to it as long as the generator lives.

    Parameters
    ----------
    selection : JetSelection
        Which jets are selected.
    margins : VetoMargins
        How careful to be.
    """
    return _hook_class()(selection, margins)


@cache
def _hook_class() -> Any:
    """The class, which cannot be written down before Pythia is imported."""
    import pythia8mc

    class EarlyVeto(pythia8mc.UserHooks):
        def __init__(self, selection: JetSelection, margins: VetoMargins) -> None:
            super().__init__()
            self._selection, self._margins = selection, margins
            self._decays: list[_Decay] = []

        def canVetoProcessLevel(self) -> bool:  # noqa: N802
            return True

        def doVetoProcessLevel(self, process: Any) -> bool:  # noqa: N802
            self._decays = list(_visible_decays(process))
            widest = self._selection.radius + self._margins.spread
            return bool(self._decays) and all(decay.spread > widest for decay in self._decays)

        def canVetoPT(self) -> bool:  # noqa: N802
            return True

        def scaleVetoPT(self) -> float:  # noqa: N802
            return self._margins.scale

        def doVetoPT(self, position: int, event: Any) -> bool:  # noqa: N802
            if position == _IN_RESONANCE_DECAY:
                return False
            return not may_give_jet(*_seeds(event, self._decays), self._selection, self._margins)

    return EarlyVeto


def _visible_decays(process: Any) -> Iterator[_Decay]:
    """Decays of the resonances of a hard process that have visible legs."""
    for row in range(_FIRST_ROW, process.size()):
        made = process[row]
        if made.mother1() != _INCOMING or abs(made.id()) not in _RESONANCES:
            continue
        legs = [process[leg] for leg in _legs(process, row)]
        visible = [leg for leg in legs if abs(leg.id()) not in _NEUTRINOS]
        if not visible:
            continue
        px, py, pz = (sum(getattr(leg, name)() for leg in visible) for name in ("px", "py", "pz"))
        pt = math.hypot(px, py)
        axis = Seed(pt, math.asinh(pz / pt), math.atan2(py, px))
        yield _Decay(made.id(), pt / made.pT(), max(_distance(_seed(leg), axis) for leg in visible))


def _legs(process: Any, row: int) -> Iterator[int]:
    """Rows of the last particles of a decay chain."""
    first, last = process[row].daughter1(), process[row].daughter2()
    if first == 0:
        yield row
        return
    for daughter in range(first, last + 1):
        yield from _legs(process, daughter)


def _seeds(event: Any, decays: Sequence[_Decay]) -> tuple[list[Seed], list[Seed]]:
    """What jets may form around at the present stage of an event, and all other partons."""
    final = [p for p in (event[row] for row in range(_FIRST_ROW, event.size())) if p.isFinal()]
    others = [_seed(p) for p in final if abs(p.id()) not in _RESONANCES]
    if not decays:
        return sorted(others, reverse=True)[:_HARDEST_FIRST], others
    seeds = []
    left = list(decays)
    for particle in final:
        decay = next((d for d in left if d.pid == particle.id()), None)
        if decay is not None:
            left.remove(decay)
            pt, eta, phi = _seed(particle)
            seeds.append(Seed(decay.share * pt, eta, phi))
    return seeds, others


def _seed(particle: Any) -> Seed:
    return Seed(particle.pT(), particle.eta(), particle.phi())


def _distance(a: Seed, b: Seed) -> float:
    """Distance in the plane of pseudorapidity and azimuth."""
    return math.hypot(a.eta - b.eta, (a.phi - b.phi + math.pi) % (2 * math.pi) - math.pi)
