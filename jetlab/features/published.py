"""The recipes of published models."""

from __future__ import annotations

from jetlab.features.conditions import JetRecipe
from jetlab.features.recipe import Feature, Recipe
from jetlab.vocabulary import PARTICLE_TYPES

__all__ = [
    "JETCLASS_COLUMNS",
    "JETCLASS_JET_COLUMNS",
    "JETCLASS_RECIPES",
    "OMNIJET_RECIPE",
    "PET2_RECIPES",
    "PET_JET_RECIPE",
    "PET_RECIPE",
]

OMNIJET_RECIPE = Recipe(
    "omnijet",
    (
        Feature("pt", subtract=1.8, function="log"),
        Feature("deta", multiply=3.0),
        Feature("dphi", multiply=3.0),
    ),
)
"""The published OmniJet-alpha inputs (arXiv:2403.05618): log pT [GeV] - 1.8, 3 deta, 3 dphi."""

_KINEMATICS = (
    Feature("pt", subtract=1.7, multiply=0.7, function="log", clip=(-5.0, 5.0)),
    Feature("energy", subtract=2.0, multiply=0.7, function="log", clip=(-5.0, 5.0)),
    Feature("ptrel", subtract=-4.7, multiply=0.7, function="log", clip=(-5.0, 5.0)),
    Feature("energyrel", subtract=-4.7, multiply=0.7, function="log", clip=(-5.0, 5.0)),
    Feature("distance", subtract=0.2, multiply=4.0, clip=(-5.0, 5.0)),
)
_IDENTITY = (Feature("charge"), *(Feature(name) for name in PARTICLE_TYPES))
_IMPACT = (
    Feature("d0", function="tanh"),
    Feature("d0err", clip=(0.0, 1.0)),
    Feature("dz", function="tanh"),
    Feature("dzerr", clip=(0.0, 1.0)),
)
_PLACE = (Feature("deta_outward"), Feature("dphi"))


def _jetclass(name: str, *features: Feature) -> Recipe:
    return Recipe(f"jetclass-{name}", features, max_distance=None, fill=0.0)


JETCLASS_RECIPES = {
    "full": _jetclass("full", *_KINEMATICS, *_IDENTITY, *_IMPACT, *_PLACE),
    "kinpid": _jetclass("kinpid", *_KINEMATICS, *_IDENTITY, *_PLACE),
    "kin": _jetclass("kin", *_KINEMATICS, *_PLACE),
}
"""Inputs of the networks trained on JetClass (arXiv:2202.03772): 17 with impact parameters, 13 without, 7 kinematic."""

JETCLASS_COLUMNS = {
    "part_px": "px",
    "part_py": "py",
    "part_energy": "energy",
    "part_deta": "deta_outward",
    "part_dphi": "dphi",
    "part_d0val": "d0",
    "part_d0err": "d0err",
    "part_dzval": "dz",
    "part_dzerr": "dzerr",
    "part_charge": "charge",
    "part_isChargedHadron": "charged hadron",
    "part_isNeutralHadron": "neutral hadron",
    "part_isPhoton": "photon",
    "part_isElectron": "electron",
    "part_isMuon": "muon",
}
"""Constituent columns of a JetClass file that the recipes need, and the quantities they are."""

JETCLASS_JET_COLUMNS = {"jet_pt": "pt", "jet_energy": "energy", "jet_eta": "eta"}
"""Jet columns of a JetClass file that the recipes need, and the quantities they are."""

_PLAIN = (Feature("deta"), Feature("dphi"), Feature("pt", function="log"), Feature("energy", function="log"))

PET2_RECIPES = {
    "kin": Recipe("pet2-kin", _PLAIN),
    "types": Recipe("pet2-types", (*_PLAIN, Feature("particle_code"))),
    "full": Recipe("pet2-full", (*_PLAIN, Feature("particle_code"), *_IMPACT)),
}
"""Inputs of OmniLearned (arXiv:2510.24066): deta, dphi, log pT and log E [GeV] as they are; with particle codes; with
impact parameters too."""

PET_RECIPE = Recipe(
    "omnilearn",
    (
        Feature("deta", multiply=1 / 0.215),
        Feature("dphi", multiply=1 / 0.215),
        Feature("ptrest", subtract=-0.0278, multiply=1 / 0.070, function="log"),
        Feature("pt", subtract=1.8999407, multiply=1 / 1.2212526, function="log"),
        Feature("energyrest", subtract=-0.027, multiply=1 / 0.069, function="log"),
        Feature("energy", subtract=2.244736, multiply=1 / 1.2334691, function="log"),
        Feature("distance"),
        *_IDENTITY,
    ),
    max_particles=150,
    max_distance=None,
    fill=0.0,
)
"""The 13 inputs of OmniLearn (arXiv:2404.16091), normalised as for its training on JetClass."""

PET_JET_RECIPE = JetRecipe(
    "omnilearn-jets",
    (
        Feature("pt", subtract=618.22492, multiply=1 / 106.71761),
        Feature("eta", multiply=1 / 0.88998157),
        Feature("mass", subtract=120.64709, multiply=1 / 40.196922),
        Feature("multiplicity", subtract=39.4133173, multiply=1 / 15.096386),
    ),
)
"""What the heads of OmniLearn are told about a jet: pT [GeV], eta, mass [GeV], number of constituents; normalised."""
