"""Named settings of a simulation: collisions, jets and detector, so that one code makes jets of several domains.

========================  ==========================================  =========================================
name                      collisions                                  jets
========================  ==========================================  =========================================
``jetclass``              pp at 13 TeV, ten processes, CMS-like       anti-kT R = 0.8, 500 to 1000 GeV
``jetclass-full``         the same, another detector                  the same
``quark-gluon``           pp at 14 TeV, Z and a parton, no detector   anti-kT R = 0.4, 500 to 550 GeV
``top-tagging``           pp at 14 TeV, dijets and tops, no detector  anti-kT R = 0.8, 550 to 650 GeV
``dis``                   ep at 319 GeV, two showers, no detector     kT R = 1.0, above 10 GeV
========================  ==========================================  =========================================
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from jetlab.data.simulate import recipes
from jetlab.data.simulate.recipes import Recipe
from jetlab.data.simulate.selection import Beams, JetSelection, VetoMargins
from jetlab.errors import JetLabError

__all__ = ["SETTINGS", "Settings", "settings_named"]

_PROTON, _ELECTRON = 2212, 11


@dataclass(frozen=True)
class Settings:
    """What differs between simulations.

    Parameters
    ----------
    name : str
        Name, which also enters the random numbers.
    recipes : tuple of Recipe
        Classes in the order of their labels, and how each is made.
    beams : Beams
        What collides.
    phase_space : tuple of str
        Settings of Pythia that limit the hard scattering.
    mpi : bool
        Whether there are multiparton interactions at all.
    jets : JetSelection
        Which jets are kept.
    matching : {"decay", "top", "parton", "dis"}
        What a jet is compared with, see `jetlab.data.simulate.matching`.
    inelasticity : (float, float) or None
        Window of the inelasticity y of deep-inelastic events.
    detector : str or None
        Detector if none is asked for, a key of `jetlab.data.simulate.detector.DETECTORS`; None for the generated
        particles.
    veto : VetoMargins or None
        How carefully events without hope of a jet end early, see `jetlab.data.simulate.veto`; None to keep them all.
    """

    name: str
    recipes: tuple[Recipe, ...]
    beams: Beams = field(default_factory=Beams)
    phase_space: tuple[str, ...] = ()
    mpi: bool = True
    jets: JetSelection = field(default_factory=JetSelection)
    matching: str = "decay"
    inelasticity: tuple[float, float] | None = None
    detector: str | None = None
    veto: VetoMargins | None = field(default_factory=VetoMargins)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their labels."""
        return tuple(recipe.name for recipe in self.recipes)

    def recipe(self, name: str) -> Recipe:
        """The recipe of the class with this name."""
        return self.recipes[self.classes.index(name)]

    def pythia(self, name: str, *, chunk: int = 0, mpi: bool = True) -> tuple[str, ...]:
        """Settings of Pythia for one chunk of a class, without those of the random numbers.

        Parameters
        ----------
        name : str
            Class name.
        chunk : int
            Number of the chunk; odd ones use the conjugate process if there is one.
        mpi : bool
            Whether to simulate multiparton interactions.
        """
        recipe = self.recipe(name)
        tune = ("Tune:pp = 14", "PDF:pSet = 13")
        checks = ("Check:abortIfVeto = on", "Check:event = off")
        process = recipe.conjugate if recipe.conjugate and chunk % 2 else recipe.process
        underlying = () if mpi and self.mpi else ("PartonLevel:MPI = off",)
        return (*self.beams.pythia(), *tune, *self.phase_space, *checks, *process, *underlying)

    def description(self) -> dict[str, Any]:
        """Collisions and jets, JSON-safe."""
        described: dict[str, Any] = {
            "simulation": self.name,
            "beams": asdict(self.beams),
            "sqrt_s_gev": self.beams.sqrt_s,
            "jet": asdict(self.jets),
            "matching": self.matching,
            "early_veto": None if self.veto is None else asdict(self.veto),
        }
        return described if self.inelasticity is None else described | {"inelasticity": self.inelasticity}


def _pt_hat(low: float, high: float) -> tuple[str, str]:
    """Range of the transverse momentum of the hard scattering in GeV."""
    return f"PhaseSpace:pTHatMin = {low:g}", f"PhaseSpace:pTHatMax = {high:g}"


_JETCLASS = Settings("jetclass", recipes.JETCLASS, phase_space=_pt_hat(450, 1200), detector="jetclass")

_LHC_14 = Beams(energies=(7000.0, 7000.0))

_ALL = (
    _JETCLASS,
    # Another response to other events of the same kind: a stand-in for a full simulation.
    Settings("jetclass-full", recipes.JETCLASS, phase_space=_pt_hat(450, 1200), detector="coarse"),
    # Selection of Zenodo 3164691 (EnergyFlow). That set does not give its range of the hard scattering.
    Settings(
        "quark-gluon",
        recipes.QUARK_GLUON,
        beams=_LHC_14,
        phase_space=_pt_hat(400, 720),
        jets=JetSelection(
            radius=0.4, pt_min=500.0, pt_max=550.0, eta_min=-1.7, eta_max=1.7, rapidity=True, leading=True
        ),
        matching="parton",
        veto=VetoMargins(reach=1.25),
    ),
    # Selection of Zenodo 2603256, which has no underlying event either. That set has the Delphes card of ATLAS.
    Settings(
        "top-tagging",
        recipes.TOP_TAGGING,
        beams=_LHC_14,
        phase_space=_pt_hat(420, 800),
        mpi=False,
        jets=JetSelection(pt_min=550.0, pt_max=650.0, leading=True),
        matching="top",
    ),
    # Selection of H1 as in arXiv:2404.16091; Rapgap and Django make its two classes, here two showers of Pythia 8.
    Settings(
        "dis",
        recipes.DIS,
        beams=Beams((_PROTON, _ELECTRON), (920.0, 27.6)),
        phase_space=("PhaseSpace:Q2Min = 150",),
        mpi=False,
        jets=JetSelection(algorithm="kT", radius=1.0, pt_min=10.0, pt_max=None, eta_min=-1.5, eta_max=2.75),
        matching="dis",
        inelasticity=(0.08, 0.7),
        veto=None,
    ),
)

SETTINGS: dict[str, Settings] = {settings.name: settings for settings in _ALL}
"""Settings by name."""


def settings_named(settings: str | Settings) -> Settings:
    """The settings of this name; settings themselves are returned as they are.

    Raises
    ------
    JetLabError
        If there are none of this name; the message lists the names.
    """
    if isinstance(settings, Settings):
        return settings
    if settings not in SETTINGS:
        msg = f"unknown simulation settings {settings!r}; expected one of {', '.join(SETTINGS)}"
        raise JetLabError(msg)
    return SETTINGS[settings]
