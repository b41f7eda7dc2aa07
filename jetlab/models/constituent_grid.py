"""Tokens of constituents that any batch of plain kinematics has: the cells of a grid in deta, dphi and log pT.

The grid reads the first three of the inputs (deta, dphi, log pT, log E) of `jetlab.features.PET2_RECIPES`, so that
codes need no second set of inputs. The middle of a cell becomes all four again, with the energy of a jet at eta = 0.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from jetlab.batches import ParticleBatch
from jetlab.features import PET2_RECIPES, Recipe
from jetlab.models.tokenizers import BinnedConfig, BinnedTokenizer
from jetlab.models.tokens import NO_TARGET

__all__ = ["GRID", "check_grid", "codes_of", "inputs_of"]

_PLAIN = PET2_RECIPES["kin"]

GRID = BinnedConfig((13, 13, 13), "quantile", replace(_PLAIN, name="pet2-grid", features=_PLAIN.features[:3]))
"""13 bins in each of deta, dphi and log pT [GeV] that hold equally many constituents: 2197 cells."""


def check_grid(grid: BinnedConfig, recipe: Recipe) -> None:
    """See that the grid reads the first inputs of a recipe, and that the others follow from its cells.

    Raises
    ------
    ValueError
        If not.
    """
    same = (grid.recipe.max_particles, grid.recipe.max_distance) == (recipe.max_particles, recipe.max_distance)
    if recipe.features != _PLAIN.features or grid.recipe.features != _PLAIN.features[:3] or not same:
        msg = (
            f"the cells of a grid on {grid.recipe.name} do not give the inputs of {recipe.name}; expected deta, dphi, "
            "log pt and log energy as in PET2_RECIPES['kin'], a grid on the first three, and the same constituents"
        )
        raise ValueError(msg)


def codes_of(grid: BinnedTokenizer, batch: ParticleBatch) -> Tensor:
    """Cells of the particles of a batch, shape ``(B, N)``, `NO_TARGET` where padded."""
    codes = torch.full(batch.mask.shape, NO_TARGET, device=batch.mask.device)
    codes[batch.mask] = grid.codes(replace(batch, x=batch.x[..., : grid.recipe.width]))
    return codes


def inputs_of(grid: BinnedTokenizer, codes: Tensor, mask: Tensor) -> Tensor:
    """Inputs (deta, dphi, log pT, log E) of massless particles in the middles of cells ``(B, N)``, zero where padded.

    Returns
    -------
    Tensor, shape (B, N, 4)
    """
    x = grid.inputs(codes.clamp(min=0), mask)
    log_energy = x[..., 2] + x[..., 0].cosh().log()
    return torch.cat([x, log_energy[..., None] * mask[..., None]], -1)
