"""Changes that a jet may undergo without becoming another kind of jet, made to its inputs."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jetlab.features.recipe import Recipe

__all__ = ["Augmentations", "Augmented"]

_SIDEWAYS = ("deta", "deta_outward")
_HARDNESS = ("pt", "energy", "ptrel", "energyrel")
_KNOWN = {*_SIDEWAYS, *_HARDNESS, "dphi", "distance"}
_OTHERS = {"ptrest", "energyrest"}
"""Inputs that momenta change, but in a way that needs the jet's own momentum, which inputs do not tell."""

NEAR = 0.02
"""Typical distance, in deta and in dphi, of what splits off."""

PIECES = 0.1, 0.5
"""Smallest and largest share of the momentum that splits off."""


class Augmented(NamedTuple):
    """Inputs ``(B, M, F)`` by falling pT, their mask ``(B, M)``, and the particle each comes from, ``(B, M)``."""

    x: Tensor
    mask: Tensor
    origin: Tensor


@dataclass(frozen=True)
class Augmentations:
    """Which changes are made to jets, all of them to every jet, differently.

    Energies follow pT and direction, with the pseudorapidity of the jet axis that inputs with pT and energy imply.
    Numbers about the whole jet that a model is told stay as they are.

    Parameters
    ----------
    rotate : bool
        Turn the jet about its axis, by any angle in the plane of deta and dphi.
    reflect : bool
        Mirror half of the jets at that plane's axis of dphi.
    shift : float
        Move the jet: standard deviation of the step along deta and along dphi.
    smear : float
        Relative resolution of the pT of a particle with 1 GeV, which falls as one over the root of pT.
    split : float
        Chance of each particle to become two in nearly the same direction, which share its momentum.

    Raises
    ------
    ValueError
        If a number makes no sense.

    References
    ----------
    B. M. Dillon et al., "Symmetries, safety, and self-supervision", arXiv:2108.04253.
    """

    rotate: bool = True
    reflect: bool = True
    shift: float = 0.02
    smear: float = 0.1
    split: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.shift < 1 and 0 <= self.smear < 1 and 0 <= self.split <= 1):
            msg = (
                f"shift is {self.shift}, smear {self.smear} and split {self.split}; expected 0 or more, and less than 1"
            )
            raise ValueError(msg)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> Augmentations:
        """Rebuild from `to_dict`."""
        return Augmentations(**entries)

    def check(self, recipe: Recipe) -> None:
        """See that the inputs of a recipe can be changed.

        Raises
        ------
        ValueError
            If they lack pT or a direction, or one of them would need more than inputs tell.
        """
        present = {f.field for f in recipe.features}
        if not {"pt", "dphi"} <= present or not present & set(_SIDEWAYS) or present & _OTHERS:
            msg = (
                f"recipe {recipe.name} has {', '.join(sorted(present))}; augmentations need deta, dphi and pt among "
                f"them, and none of {', '.join(sorted(_OTHERS))}"
            )
            raise ValueError(msg)

    def __call__(self, x: Tensor, mask: Tensor, recipe: Recipe, generator: torch.Generator | None = None) -> Augmented:
        """Change the jets of a batch, drawing from `generator`.

        Parameters
        ----------
        x : Tensor, shape (B, N, F)
            Inputs.
        mask : Tensor of bool, shape (B, N)
        recipe : Recipe
            What they are.
        generator : torch.Generator, optional

        Raises
        ------
        ValueError
            As for `check`.
        """
        self.check(recipe)
        origin = torch.arange(x.shape[1]).expand(mask.shape)
        x = self._smeared(self._moved(x, mask, recipe, generator), mask, recipe, generator)
        if self.split:
            x, mask, origin = self._split(x, mask, recipe, generator)
        return _ordered(x * mask[..., None], mask, origin, recipe)

    def _moved(self, x: Tensor, mask: Tensor, recipe: Recipe, generator: torch.Generator | None) -> Tensor:
        """Rotated, mirrored and shifted jets."""
        values, rows = _Values(x, recipe), (len(x), 1)
        deta, dphi = values.sideways, values.of("dphi")
        if self.rotate:
            angle = 2 * math.pi * torch.rand(rows, generator=generator)
            deta, dphi = angle.cos() * deta - angle.sin() * dphi, angle.sin() * deta + angle.cos() * dphi
        if self.reflect:
            deta = deta * torch.where(torch.rand(rows, generator=generator) < 0.5, -1.0, 1.0)
        if self.shift:
            deta = deta + self.shift * torch.randn(rows, generator=generator)
            dphi = dphi + self.shift * torch.randn(rows, generator=generator)
        return values.changed(deta, dphi, torch.ones_like(deta), mask)

    def _smeared(self, x: Tensor, mask: Tensor, recipe: Recipe, generator: torch.Generator | None) -> Tensor:
        """Particles measured with a resolution."""
        if not self.smear:
            return x
        values = _Values(x, recipe)
        noise = self.smear * torch.randn(mask.shape, generator=generator) / values.of("pt").clamp(min=0.1).sqrt()
        return values.changed(values.sideways, values.of("dphi"), (1 + noise).clamp(min=0.1), mask)

    def _split(self, x: Tensor, mask: Tensor, recipe: Recipe, generator: torch.Generator | None) -> Augmented:
        """Particles and, in as many slots again, what has split off from some of them."""
        off = (torch.rand(mask.shape, generator=generator) < self.split) & mask
        low, high = PIECES
        share = low + (high - low) * torch.rand(mask.shape, generator=generator)
        factor = torch.cat([torch.where(off, 1 - share, 1.0), share], 1)
        step = NEAR * torch.randn(2, *mask.shape, generator=generator)
        by_eta, by_phi = torch.cat([torch.zeros_like(step), step], -1)
        both, real = torch.cat([x, x], 1), torch.cat([mask, off], 1)
        values = _Values(both, recipe)
        changed = values.changed(values.sideways + by_eta, values.of("dphi") + by_phi, factor, real)
        return Augmented(changed, real, torch.arange(x.shape[1]).repeat(2).expand(real.shape))


class _Values:
    """Physical values of inputs ``(B, N, F)``, and inputs of changed ones."""

    def __init__(self, x: Tensor, recipe: Recipe) -> None:
        self.x, self.recipe = x, recipe
        self.columns = {f.field: i for i, f in enumerate(recipe.features)}
        self.side = next(field for field in _SIDEWAYS if field in self.columns)

    @property
    def sideways(self) -> Tensor:
        """Pseudorapidity from the axis, ``(B, N)``, with the sign of the recipe."""
        return self.of(self.side)

    def of(self, field: str) -> Tensor:
        """Of a field, shape ``(B, N)``."""
        column = self.columns[field]
        feature = self.recipe.features[column]
        value = self.x[..., column] / feature.multiply + feature.subtract
        return value.exp() if feature.function == "log" else value

    def changed(self, deta: Tensor, dphi: Tensor, factor: Tensor, mask: Tensor) -> Tensor:
        """Inputs after particles have moved to these directions, and had their pT multiplied, each ``(B, N)``."""
        stretch = self._stretch(deta, mask)
        new = {self.side: deta, "dphi": dphi, "distance": torch.hypot(deta, dphi)}
        new |= {f: self.of(f) * factor * (stretch if "energy" in f else 1) for f in _HARDNESS if f in self.columns}
        x = self.x.clone()
        for field, column in self.columns.items():
            if field in _KNOWN:
                x[..., column] = self._input(new[field], column)
        return x

    def _input(self, value: Tensor, column: int) -> Tensor:
        feature = self.recipe.features[column]
        value = value.clamp(min=1e-9).log() if feature.function == "log" else value
        value = (value - feature.subtract) * feature.multiply
        return value if feature.clip is None else value.clamp(*feature.clip)

    def _stretch(self, deta: Tensor, mask: Tensor) -> Tensor:
        """Energy of a particle at its new over that at its old direction, with its pT unchanged, ``(B, N)``."""
        if "energy" not in self.columns:
            return torch.ones_like(deta)
        axis = self._axis(mask)[:, None]
        stretch = (axis + deta).cosh() / (axis + self.sideways).cosh()
        return torch.maximum(stretch, self.of("pt") / self.of("energy").clamp(min=1e-9))  # energies exceed pT

    def _axis(self, mask: Tensor) -> Tensor:
        """Pseudorapidity of the jet axes, up to a common sign with deta, ``(B,)``: what fits pT and energy best."""
        pt, energy, deta = self.of("pt"), self.of("energy"), self.sideways
        ratio = (energy / pt.clamp(min=1e-9)).clamp(min=1)
        weight = pt * mask
        guesses = [
            ((sign * torch.acosh(ratio) - deta) * weight).sum(1) / weight.sum(1).clamp(min=1e-9) for sign in (1, -1)
        ]
        wrong = [(((g[:, None] + deta).cosh().log() - ratio.log()).square() * weight).sum(1) for g in guesses]
        return torch.where(wrong[0] <= wrong[1], guesses[0], guesses[1])


def _ordered(x: Tensor, mask: Tensor, origin: Tensor, recipe: Recipe) -> Augmented:
    """By falling pT, as far as slots are needed, at most as many as the recipe has."""
    order = x[..., recipe.column("pt")].masked_fill(~mask, -math.inf).argsort(dim=1, descending=True, stable=True)
    most = min(max(1, int(mask.sum(1).max())), recipe.max_particles)
    order = order[:, :most]
    return Augmented(x.gather(1, _each(order, x)), mask.gather(1, order), origin.gather(1, order))


def _each(places: Tensor, values: Tensor) -> Tensor:
    return places[..., None].expand(-1, -1, values.shape[-1])
