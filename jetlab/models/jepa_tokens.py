"""What a `JetEncoder` attends to: particles, groups of near particles, or subjets.

HEP-JEPA (arXiv:2502.03933) cuts a jet into groups around centres that lie far from each other, and a small network in
which the order of particles does not matter makes one token of each. Everything about directions and momenta is read
from the inputs themselves, so that noisy jets have tokens too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn

from jetlab.errors import InvalidJetsError
from jetlab.features import Feature, Recipe
from jetlab.kernels.groups import farthest_points, squared_distances
from jetlab.models.blocks import mlp

if TYPE_CHECKING:
    from jetlab.batches import ParticleBatch

__all__ = ["GroupTokens", "Inputs", "Members", "ParticleTokens", "Places", "Tokens", "momenta_of"]

PARTICLE_CODES = 9
"""Particle codes of the recipes, 0 to 8."""

TYPICAL = {
    ("deta", "identity"): (0.0, 0.2),
    ("dphi", "identity"): (0.0, 0.2),
    ("pt", "log"): (1.9, 1.2),
    ("energy", "log"): (2.2, 1.2),
}
"""Mean and spread, in jets of 500 to 1000 GeV, of inputs that their recipe leaves as they are."""

RANGE = 12.0
"""Logarithms of pT [GeV], and angles, of noisy particles are cut at this size before momenta are made of them."""


class Places(NamedTuple):
    """Momenta ``(B, T, 4)`` of tokens, as pT [GeV], rapidity and azimuth from the jet axis, squared mass [GeV²].

    The mask ``(B, T)`` is True for tokens that there are.
    """

    momenta: Tensor
    mask: Tensor


class Tokens(NamedTuple):
    """Tokens ``(B, T, D)`` and where they are."""

    x: Tensor
    places: Places


class Members(NamedTuple):
    """Which particle of which jet belongs to which token of it, each of shape ``(m,)``."""

    jet: Tensor
    token: Tensor
    particle: Tensor


class Inputs(nn.Module):
    """Inputs of a recipe made alike in size, particle codes as one number for each code.

    Parameters
    ----------
    recipe : Recipe
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        names = [f.field for f in recipe.features]
        self.code = names.index("particle_code") if "particle_code" in names else None
        self.width = recipe.width + (PARTICLE_CODES - 1 if self.code is not None else 0)
        mean, spread = zip(*map(_typical, recipe.features), strict=True)
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("spread", torch.tensor(spread), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(..., F)`` to ``(..., width)``."""
        scaled = (x - self.mean) / self.spread
        if self.code is None:
            return scaled
        code = x[..., self.code].round().long()
        if not bool(((code >= 0) & (code < PARTICLE_CODES)).all()):
            msg = f"particle codes go up to {int(code.max())}, expected 0 to {PARTICLE_CODES - 1}; is the recipe right?"
            raise InvalidJetsError(msg)
        flags = nn.functional.one_hot(code, PARTICLE_CODES).to(x.dtype)
        return torch.cat([scaled[..., : self.code], scaled[..., self.code + 1 :], flags], -1)


def _typical(feature: Feature) -> tuple[float, float]:
    plain = feature.subtract == 0 and feature.multiply == 1 and feature.clip is None
    return TYPICAL.get((feature.field, feature.function), (0.0, 1.0)) if plain else (0.0, 1.0)


def momenta_of(x: Tensor, recipe: Recipe) -> Tensor:
    """Momenta of massless particles from their inputs ``(B, N, F)``, as in `Places`, shape ``(B, N, 4)``.

    Raises
    ------
    KeyError
        If the recipe lacks pT or a direction.
    """
    side = "deta" if any(f.field == "deta" for f in recipe.features) else "deta_outward"
    deta, dphi, pt = (_physical(x, recipe, field) for field in (side, "dphi", "pt"))
    deta, dphi = deta.clamp(-RANGE, RANGE), dphi.clamp(-RANGE, RANGE)
    return torch.stack([pt, deta, dphi, torch.zeros_like(pt)], -1)


def _physical(x: Tensor, recipe: Recipe, field: str) -> Tensor:
    """Physical value of an input, shape ``(B, N)``."""
    column = recipe.column(field)
    feature = recipe.features[column]
    value = x[..., column] / feature.multiply + feature.subtract
    return value.clamp(-RANGE, RANGE).exp() if feature.function == "log" else value


class ParticleTokens(nn.Module):
    """Every particle is a token.

    Parameters
    ----------
    recipe : Recipe
    width : int
    """

    def __init__(self, recipe: Recipe, width: int) -> None:
        super().__init__()
        self.recipe, self.inputs = recipe, Inputs(recipe)
        self.embed = mlp(self.inputs.width, width, width)

    def places(self, batch: ParticleBatch) -> Places:
        """Where the tokens are."""
        return Places(momenta_of(batch.x, self.recipe), batch.mask)

    def forward(self, batch: ParticleBatch) -> Tokens:
        """Tokens of the particles with inputs ``(B, N, F)``, one each."""
        return Tokens(self.embed(self.inputs(batch.x)), self.places(batch))


class GroupTokens(nn.Module):
    """Every group of particles is a token, made by a network in which their order does not matter (arXiv:1612.00593).

    Parameters
    ----------
    recipe : Recipe
    width : int
    count : int
        Groups of a jet; one with fewer particles has as many groups as particles.
    size : int
        Particles of a group, if groups may overlap.
    centres : {"farthest", "hardest"}
        Centres far from each other, of which the first is the hardest particle; or the hardest particles.
    overlap : bool
        A group is the `size` particles nearest to its centre, as published; a particle then belongs to several. Else
        each particle belongs to its nearest centre, so that a group knows nothing about the particles of another but
        where they are, which decides who belongs to whom.
    subjets : bool
        The groups are subjets, which were found when the jets were prepared.
    """

    def __init__(
        self,
        recipe: Recipe,
        width: int,
        *,
        count: int,
        size: int,
        centres: Literal["farthest", "hardest"],
        overlap: bool,
        subjets: bool,
    ) -> None:
        super().__init__()
        self.recipe, self.inputs = recipe, Inputs(recipe)
        self.count, self.size, self.centres, self.overlap, self.subjets = count, size, centres, overlap, subjets
        self.embed = mlp(self.inputs.width + 3, width, width)
        self.out = mlp(2 * width + 5, width, width)

    def places(self, batch: ParticleBatch) -> Places:
        """Where the tokens are."""
        momenta = momenta_of(batch.x, self.recipe)
        return self._summed(momenta, self.members(batch, momenta))

    def members(self, batch: ParticleBatch, momenta: Tensor) -> Members:
        """Which particles belong to which group.

        Raises
        ------
        InvalidJetsError
            If subjets are wanted and the batch has none.
        """
        if self.subjets:
            return _of_subjets(batch, self.count)
        points, mask = momenta[..., 1:3].detach(), batch.mask
        if self.centres == "farthest":
            chosen, real = farthest_points(points, mask, k=self.count)
        else:
            chosen = torch.arange(self.count, device=mask.device).clamp(max=mask.shape[1] - 1).expand(len(mask), -1)
            real = torch.arange(self.count, device=mask.device) < mask.sum(1, keepdim=True)
        centres = points.gather(1, chosen[..., None].expand(-1, -1, 2))
        distance = squared_distances(centres, points).masked_fill(~real[..., None], math.inf)  # (B, T, N)
        if self.overlap:
            return _nearest(distance.masked_fill(~mask[:, None], math.inf), self.size)
        owner = distance.argmin(1)  # (B, N)
        owner = owner.scatter(1, chosen.where(real, chosen[:, :1]), _numbers(chosen).where(real, 0))
        jet, particle = mask.nonzero(as_tuple=True)
        return Members(jet, owner[jet, particle], particle)

    def forward(self, batch: ParticleBatch) -> Tokens:
        """Tokens of groups of the particles with inputs ``(B, N, F)``."""
        momenta = momenta_of(batch.x, self.recipe)
        jet, token, particle = members = self.members(batch, momenta)
        places = self._summed(momenta, members)
        own, whole = momenta[jet, particle], places.momenta[jet, token]  # (m, 4)
        around = torch.cat([(own[:, 1:3] - whole[:, 1:3]) / 0.1, _log(own[:, :1]) - _log(whole[:, :1])], -1)
        h = self.embed(torch.cat([self.inputs(batch.x[jet, particle]), around], -1))  # (m, D)
        rows, shape = jet * self.count + token, (len(batch.mask) * self.count, h.shape[1])
        count = h.new_zeros(shape[0]).index_add(0, rows, h.new_ones(len(rows)))[:, None]
        mean = h.new_zeros(shape).index_add(0, rows, h) / count.clamp(min=1)
        highest = h.new_zeros(shape).scatter_reduce(0, rows[:, None].expand_as(h), h, "amax", include_self=False)
        x = torch.cat([highest, mean, _described(places.momenta.flatten(0, 1), count)], -1)
        return Tokens(self.out(x).unflatten(0, places.mask.shape), places)

    def _summed(self, momenta: Tensor, members: Members) -> Places:
        """Where groups of these particles ``(B, N, 4)`` are: the sum of their momenta.

        It is taken around the mean direction of each group, so that the mass of a light group is not lost to rounding.
        """
        jet, token, particle = members
        rows, shape = jet * self.count + token, (len(momenta), self.count)
        pt, y, phi, _ = momenta[jet, particle].unbind(-1)
        total, by_y, by_phi, count = _sums(rows, shape, pt, pt * y, pt * phi, torch.ones_like(pt))
        mask = count > 0
        total = total.where(mask, 1)
        mean_y, mean_phi = by_y / total, by_phi / total
        dy, dphi = y - mean_y.flatten()[rows], phi - mean_phi.flatten()[rows]
        forward, backward, spread, short, aside = _sums(
            rows, shape, pt * dy.expm1(), pt * (-dy).expm1(), 4 * pt * (dy / 2).sinh().square(),
            2 * pt * (dphi / 2).sin().square(), pt * dphi.sin(),
        )  # fmt: skip
        along = total - short  # momentum in the mean direction; E ± pz are total + forward and total + backward
        mass2 = total * (spread + 2 * short) + forward * backward - short.square() - aside.square()
        rapidity = mean_y + 0.5 * ((forward / total).log1p() - (backward / total).log1p())
        hardness = (along.square() + aside.square()).clamp(min=1e-12).sqrt()
        azimuth = mean_phi + torch.atan2(aside, along)
        return Places(torch.stack([hardness, rapidity, azimuth, mass2.clamp(min=0)], -1), mask)


def _sums(rows: Tensor, shape: tuple[int, int], *values: Tensor) -> tuple[Tensor, ...]:
    """Sums over the members of each group of values ``(m,)`` each, of this shape ``(B, T)`` each."""
    sums = values[0].new_zeros(shape[0] * shape[1], len(values)).index_add(0, rows, torch.stack(values, -1))
    return sums.unflatten(0, shape).unbind(-1)


def _of_subjets(batch: ParticleBatch, count: int) -> Members:
    subjet = batch.subjet
    if subjet is None:
        msg = (
            "this network reads subjets, but the batch does not tell which particle is in which; prepare the jets with "
            "prepare(jets) of the model or ParticleSet(jets, recipe, subjets=...)"
        )
        raise InvalidJetsError(msg)
    jet, particle = ((subjet >= 0) & (subjet < count) & batch.mask).nonzero(as_tuple=True)
    return Members(jet, subjet[jet, particle], particle)


def _nearest(distance: Tensor, size: int) -> Members:
    """The nearest particles of each centre, from squared distances ``(B, T, N)`` that are infinite for padding."""
    near, place = distance.topk(min(size, distance.shape[2]), largest=False)
    jet, token, slot = near.isfinite().nonzero(as_tuple=True)
    return Members(jet, token, place[jet, token, slot])


def _numbers(chosen: Tensor) -> Tensor:
    """Number of each centre, shape ``(B, T)``."""
    return torch.arange(chosen.shape[1], device=chosen.device).expand_as(chosen)


def _described(momenta: Tensor, count: Tensor) -> Tensor:
    """What a group is as a whole, from its momentum ``(m, 4)`` and the number of its particles ``(m, 1)``."""
    pt, y, phi, mass2 = momenta.split(1, -1)
    return torch.cat([y / 0.2, phi / 0.2, (_log(pt) - 3) / 1.5, _log(mass2 + 1e-2) / 4, count.clamp(min=1).log()], -1)


def _log(values: Tensor) -> Tensor:
    return values.clamp(min=1e-6).log()
