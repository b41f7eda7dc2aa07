"""From constituents to model inputs and back, by named recipes with an exact inverse that travel with each model."""

from __future__ import annotations

from jetlab.features.conditions import JET_KINEMATICS, JetRecipe
from jetlab.features.published import (
    JETCLASS_COLUMNS,
    JETCLASS_JET_COLUMNS,
    JETCLASS_RECIPES,
    OMNIJET_RECIPE,
    PET2_RECIPES,
    PET_JET_RECIPE,
    PET_RECIPE,
)
from jetlab.features.quantities import Constituents
from jetlab.features.recipe import Feature, FlatFeatures, Recipe

__all__ = [
    "JETCLASS_COLUMNS",
    "JETCLASS_JET_COLUMNS",
    "JETCLASS_RECIPES",
    "JET_KINEMATICS",
    "OMNIJET_RECIPE",
    "PET2_RECIPES",
    "PET_JET_RECIPE",
    "PET_RECIPE",
    "Constituents",
    "Feature",
    "FlatFeatures",
    "JetRecipe",
    "Recipe",
]
