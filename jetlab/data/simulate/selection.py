"""What a simulation selects: beams, jets, and how carefully hopeless events are ended."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Beams", "JetSelection", "VetoMargins"]

_PROTON, _ELECTRON = 2212, 11


@dataclass(frozen=True)
class Beams:
    """Two beams along the z axis.

    Parameters
    ----------
    particles : (int, int)
        PDG codes; the first moves towards positive pseudorapidity.
    energies : (float, float)
        Energies in GeV.
    """

    particles: tuple[int, int] = (_PROTON, _PROTON)
    energies: tuple[float, float] = (6500.0, 6500.0)

    @property
    def sqrt_s(self) -> float:
        """Centre-of-mass energy in GeV, without masses."""
        return 2 * math.sqrt(self.energies[0] * self.energies[1])

    @property
    def lepton(self) -> bool:
        """Whether the second beam is a lepton."""
        return abs(self.particles[1]) == _ELECTRON

    def pythia(self) -> tuple[str, ...]:
        """Settings of Pythia; a lepton is a point."""
        if self == Beams(energies=self.energies) and self.energies[0] == self.energies[1]:
            return (f"Beams:eCM = {self.sqrt_s:g}",)
        a, b = zip(self.particles, self.energies, strict=True)
        first = ("Beams:frameType = 2", f"Beams:idA = {a[0]}", f"Beams:eA = {a[1]:g}")
        return (*first, f"Beams:idB = {b[0]}", f"Beams:eB = {b[1]:g}", *(("PDF:lepton = off",) if self.lepton else ()))


@dataclass(frozen=True)
class JetSelection:
    """Which jets are clustered and kept, and how they are groomed.

    Parameters
    ----------
    algorithm : {"anti-kT", "kT"}
        Clustering.
    radius : float
        Jet radius; also the matching cone and the radius in soft drop and N-subjettiness.
    pt_min : float
        Least jet pT in GeV.
    pt_max : float or None
        Largest jet pT in GeV; None for no limit.
    eta_min, eta_max : float
        Window of the jet axis in pseudorapidity, or in rapidity if `rapidity`.
    rapidity : bool
        Whether the window is one of rapidity.
    leading : bool
        Whether only the jet of the largest pT in the window of (pseudo)rapidity counts in each event.
    soft_drop_beta, soft_drop_zcut : float
        Soft drop exponent and momentum sharing threshold.
    """

    algorithm: str = "anti-kT"
    radius: float = 0.8
    pt_min: float = 500.0
    pt_max: float | None = 1000.0
    eta_min: float = -2.0
    eta_max: float = 2.0
    rapidity: bool = False
    leading: bool = False
    soft_drop_beta: float = 0.0
    soft_drop_zcut: float = 0.1

    @property
    def abs_eta_max(self) -> float:
        """Largest absolute pseudorapidity, or rapidity, of a jet axis."""
        return max(abs(self.eta_min), abs(self.eta_max))

    def __str__(self) -> str:
        pt = f"pT > {self.pt_min:g} GeV" if self.pt_max is None else f"{self.pt_min:g} < pT < {self.pt_max:g} GeV"
        eta = "y" if self.rapidity else "eta"
        if self.eta_min == -self.eta_max:
            return f"{pt} and |{eta}| < {self.eta_max:g}"
        return f"{pt} and {self.eta_min:g} < {eta} < {self.eta_max:g}"


@dataclass(frozen=True)
class VetoMargins:
    """When and how carefully events without hope end early, see `jetlab.data.simulate.veto`.

    Parameters
    ----------
    scale : float
        Transverse momentum of the evolution in GeV at which an event is looked at.
    pt_share : float
        Events end whose visible momentum within reach stays below this share of the smallest jet pT,
    abs_eta : float
        or is this far outside of the acceptance in pseudorapidity,
    spread : float
        or whose decay products are spread by this much more than the jet radius.
    reach : float
        Distance from the hardest partons and from decays in which momentum counts, in jet radii. A narrow jet may have
        its axis between two partons.
    """

    scale: float = 4.0
    pt_share: float = 0.91
    abs_eta: float = 0.2
    spread: float = 0.2
    reach: float = 1.0
