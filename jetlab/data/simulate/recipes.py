"""Which hard process makes which jets, and which jets of its events are kept.

Processes and cuts follow JetClass (arXiv:2202.03772) as closely as leading-order Pythia 8 allows. A recipe is data: a
new kind of jet is a new `Recipe`, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["RECIPES", "JetSelection", "Recipe"]

_Z_TO_NEUTRINOS = ("23:onMode = off", "23:onIfAny = 12 14 16")
_W_TO_QUARKS = ("24:onMode = off", "24:onIfAny = 1 2 3 4 5")
_HIGGS_WITH_Z = ("HiggsSM:ffbar2HZ = on", *_Z_TO_NEUTRINOS, "25:m0 = 125.", "25:onMode = off")
_HIGGS_TO_WW = (*_HIGGS_WITH_Z, "25:onIfMatch = 24 -24", "24:onMode = off")
_TOP_PAIR = ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on")


@dataclass(frozen=True)
class JetSelection:
    """Which jets are clustered and kept, and how they are groomed.

    Parameters
    ----------
    radius : float
        Radius of the anti-kT jets; also the matching cone and the radius in soft drop and N-subjettiness.
    pt_min, pt_max : float
        Jet pT window in GeV.
    abs_eta_max : float
        Largest absolute pseudorapidity of the jet axis.
    soft_drop_beta, soft_drop_zcut : float
        Soft drop exponent and momentum sharing threshold.
    """

    radius: float = 0.8
    pt_min: float = 500.0
    pt_max: float = 1000.0
    abs_eta_max: float = 2.0
    soft_drop_beta: float = 0.0
    soft_drop_zcut: float = 0.1


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
    sqrt_s : float
        Centre-of-mass energy in GeV.
    pt_hat_min, pt_hat_max : float
        Transverse momentum range of the hard scattering in GeV.
    jets : JetSelection
        Which jets are kept.
    """

    name: str
    process: tuple[str, ...]
    codes: tuple[int, ...]
    jets_per_event: float
    conjugate: tuple[str, ...] = ()
    sqrt_s: float = 13000.0
    pt_hat_min: float = 450.0
    pt_hat_max: float = 1200.0
    jets: JetSelection = field(default_factory=JetSelection)

    def settings(self, *, chunk: int = 0, mpi: bool = True) -> tuple[str, ...]:
        """Pythia settings of one chunk, without those of the random numbers.

        Parameters
        ----------
        chunk : int
            Number of the chunk; odd ones use `conjugate` if there is one.
        mpi : bool
            Whether to simulate multiparton interactions.
        """
        common = (
            f"Beams:eCM = {self.sqrt_s:g}",
            "Tune:pp = 14",
            "PDF:pSet = 13",
            f"PhaseSpace:pTHatMin = {self.pt_hat_min:g}",
            f"PhaseSpace:pTHatMax = {self.pt_hat_max:g}",
            "Check:abortIfVeto = on",
            "Check:event = off",
        )
        underlying = () if mpi else ("PartonLevel:MPI = off",)
        process = self.conjugate if self.conjugate and chunk % 2 else self.process
        return common + process + underlying


_RECIPES = (
    Recipe(
        "QCD",
        (
            "WeakBosonAndParton:qqbar2gmZg = on",
            "WeakBosonAndParton:qg2gmZq = on",
            "WeakZ0:gmZmode = 2",
            *_Z_TO_NEUTRINOS,
        ),
        codes=(50,),
        jets_per_event=0.48,
    ),
    Recipe("Hbb", (*_HIGGS_WITH_Z, "25:onIfMatch = 5 -5"), codes=(41,), jets_per_event=0.38),
    Recipe("Hcc", (*_HIGGS_WITH_Z, "25:onIfMatch = 4 -4"), codes=(42,), jets_per_event=0.42),
    Recipe("Hgg", (*_HIGGS_WITH_Z, "25:onIfMatch = 21 21"), codes=(44,), jets_per_event=0.46),
    Recipe("H4q", (*_HIGGS_TO_WW, "24:onIfAny = 1 2 3 4 5"), codes=(45,), jets_per_event=0.40),
    Recipe(
        "Hqql",
        (*_HIGGS_TO_WW, "24:onPosIfAny = 1 2 3 4 5", "24:onNegIfAny = 11 13"),
        codes=(46,),
        jets_per_event=0.20,
        conjugate=(*_HIGGS_TO_WW, "24:onNegIfAny = 1 2 3 4 5", "24:onPosIfAny = 11 13"),
    ),
    Recipe(
        "Zqq",
        (
            "WeakDoubleBoson:ffbar2gmZgmZ = on",
            "WeakZ0:gmZmode = 2",
            "23:onMode = off",
            "23:onIfAny = 1 2 3 4 5",
        ),
        codes=(31, 32, 33),
        jets_per_event=0.90,
    ),
    Recipe(
        "Wqq",
        ("WeakDoubleBoson:ffbar2ZW = on", *_Z_TO_NEUTRINOS, *_W_TO_QUARKS),
        codes=(21, 22),
        jets_per_event=0.45,
    ),
    Recipe("Tbqq", (*_TOP_PAIR, *_W_TO_QUARKS), codes=(11, 12), jets_per_event=0.52),
    Recipe("Tbl", (*_TOP_PAIR, "24:onMode = off", "24:onIfAny = 11 13"), codes=(15, 16), jets_per_event=0.25),
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _RECIPES}
"""The ten JetClass recipes by class name."""
