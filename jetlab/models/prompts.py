"""A small jet-level model: how many constituents, which mass and which pT a jet of a class has.

One categorical distribution after the other, each seeing the values drawn before it:
p(n | class) p(mass | n, class) p(pT | mass, n, class). Masses and pT are binned at quantiles of the training jets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from jetlab.errors import JetLabError
from jetlab.jets import Jets
from jetlab.models.blocks import mlp
from jetlab.models.tokens import Prompt

__all__ = ["PromptConfig", "PromptModel", "PromptSet", "prompts_of"]

_TAILS = (0.0, 1e-4, 3e-4, 1e-3)


@dataclass(frozen=True)
class PromptConfig:
    """Sizes of a `PromptModel`."""

    classes: int = 10
    max_multiplicity: int = 128
    bins: int = 400
    width: int = 128

    @property
    def edges(self) -> int:
        """Number of bin edges of mass and pT: `bins` + 1 quantiles and finer ones in the tails."""
        return self.bins - 1 + 2 * len(_TAILS)


class _Fixed(NamedTuple):
    """Values of a prompt that are not drawn, [GeV]."""

    pt: float | None = None
    mass: float | None = None
    multiplicity: int | None = None


class PromptModel(nn.Module):
    """Draws prompts for a generator, class by class.

    Parameters
    ----------
    config : PromptConfig
    """

    mass_edges: Tensor
    pt_edges: Tensor

    def __init__(self, config: PromptConfig) -> None:
        super().__init__()
        self.config = config
        c, out = config, config.edges - 1
        self.embed = nn.Embedding(c.classes, 16)
        self.multiplicity = mlp(16, c.width, c.max_multiplicity + 1)
        self.mass = mlp(16 + 1, c.width, c.width, out)
        self.pt = mlp(16 + 2, c.width, c.width, out)
        self.register_buffer("mass_edges", torch.linspace(0, 1, c.edges))
        self.register_buffer("pt_edges", torch.linspace(0, 1, c.edges))

    @torch.no_grad()
    def set_edges(self, jets: Jets) -> None:
        """Place the bins of mass and pT at quantiles of these jets."""
        inner = np.arange(1, self.config.bins) / self.config.bins
        at = np.sort(np.concatenate([_TAILS, inner, 1 - np.array(_TAILS)]))
        self.mass_edges.copy_(torch.from_numpy(np.quantile(jets.mass, at)))
        self.pt_edges.copy_(torch.from_numpy(np.quantile(jets.pt, at)))

    def nll(self, prompt: Prompt) -> Tensor:
        """Negative log-probability of the bins of each prompt, shape ``(B,)``, in nats."""
        h = self.embed(prompt.label)
        n = prompt.multiplicity.clamp(max=self.config.max_multiplicity)
        n_scaled, mass_bin = self._scaled_n(n), _bin(self.mass_edges, prompt.mass)
        mass_scaled = self._scaled_bin(mass_bin)
        logits = (
            self.multiplicity(h),
            self.mass(torch.cat([h, n_scaled], 1)),
            self.pt(torch.cat([h, n_scaled, mass_scaled], 1)),
        )
        targets = (n, mass_bin, _bin(self.pt_edges, prompt.pt))
        losses = [
            nn.functional.cross_entropy(p.float(), t, reduction="none") for p, t in zip(logits, targets, strict=True)
        ]
        return torch.stack(losses).sum(0)

    @torch.no_grad()
    def sample(
        self,
        label: Tensor,
        generator: torch.Generator | None = None,
        *,
        pt: float | None = None,
        mass: float | None = None,
        multiplicity: int | None = None,
    ) -> Prompt:
        """Draw one prompt for each class index in `label`; at least one constituent each.

        Parameters
        ----------
        label : Tensor of int64, shape (B,)
        generator : torch.Generator, optional
        pt, mass : float, optional
            Fixed values [GeV]; what is not fixed follows its distribution among the jets that have them.
        multiplicity : int, optional

        Raises
        ------
        JetLabError
            If a fixed value lies outside what the model has learned from.
        """
        fixed = _Fixed(pt, mass, multiplicity)
        if fixed != _Fixed():
            self._check(fixed)
            return self._sample_fixed(label, generator, fixed)
        h = self.embed(label)
        logits = self.multiplicity(h)
        logits[:, 0] = -torch.inf
        n = _draw(logits, generator)
        mass_bin = _draw(self.mass(torch.cat([h, self._scaled_n(n)], 1)), generator)
        pt_bin = _draw(self.pt(torch.cat([h, self._scaled_n(n), self._scaled_bin(mass_bin)], 1)), generator)
        masses = _within(self.mass_edges, mass_bin, generator)
        return Prompt(label, _within(self.pt_edges, pt_bin, generator), masses, n)

    def _sample_fixed(self, label: Tensor, generator: torch.Generator | None, fixed: _Fixed) -> Prompt:
        n, mass_bin = torch.empty_like(label), torch.empty_like(label)
        for one in label.unique():
            rows = label == one
            n[rows], mass_bin[rows] = self._joint_draw(one, int(rows.sum()), generator, fixed)
        h = self.embed(label)
        pt_bin = _draw(self.pt(torch.cat([h, self._scaled_n(n), self._scaled_bin(mass_bin)], 1)), generator)
        pts, masses = _within(self.pt_edges, pt_bin, generator), _within(self.mass_edges, mass_bin, generator)
        return Prompt(
            label,
            pts if fixed.pt is None else torch.full_like(pts, fixed.pt),
            masses if fixed.mass is None else torch.full_like(masses, fixed.mass),
            n,
        )

    def _joint_draw(
        self, label: Tensor, draws: int, generator: torch.Generator | None, fixed: _Fixed
    ) -> tuple[Tensor, Tensor]:
        """Multiplicities and mass bins of a class, by p(n, mass | pT) over all pairs that agree with what is fixed."""
        h, device = self.embed(label)[None], label.device
        n = torch.arange(1, self.config.max_multiplicity + 1, device=device)
        n = n if fixed.multiplicity is None else n[fixed.multiplicity - 1 : fixed.multiplicity]
        bins = torch.arange(self.config.edges - 1, device=device)
        bins = bins if fixed.mass is None else _bin(self.mass_edges, self.mass_edges.new_tensor([fixed.mass]))
        log_n = self.multiplicity(h)[0].float().log_softmax(-1)[n]
        log_mass = self.mass(torch.cat([h.expand(len(n), -1), self._scaled_n(n)], 1)).float().log_softmax(-1)[:, bins]
        joint = (log_n[:, None] + log_mass).flatten()
        n, bins = n.repeat_interleave(len(bins)), bins.repeat(len(n))
        if fixed.pt is not None:
            at = _bin(self.pt_edges, self.pt_edges.new_tensor([fixed.pt]))
            x = torch.cat([h.expand(len(n), -1), self._scaled_n(n), self._scaled_bin(bins)], 1)
            joint = joint + torch.cat([self.pt(part).float().log_softmax(-1)[:, at] for part in x.split(8192)])[:, 0]
        drawn = torch.multinomial(joint.softmax(0), draws, replacement=True, generator=generator)
        return n[drawn], bins[drawn]

    def _check(self, fixed: _Fixed) -> None:
        for name, value, edges in (("pt", fixed.pt, self.pt_edges), ("mass", fixed.mass, self.mass_edges)):
            if value is not None and not float(edges[0]) <= value <= float(edges[-1]):
                msg = f"{name} is {value} GeV, expected {edges[0]:.4g} to {edges[-1]:.4g}, as in the training jets"
                raise JetLabError(msg)
        if fixed.multiplicity is not None and not 1 <= fixed.multiplicity <= self.config.max_multiplicity:
            msg = f"multiplicity is {fixed.multiplicity}, expected 1 to {self.config.max_multiplicity}"
            raise JetLabError(msg)

    def _scaled_n(self, n: Tensor) -> Tensor:
        return n[:, None].float() / 32 - 1

    def _scaled_bin(self, index: Tensor) -> Tensor:
        return index[:, None].float() * (4 / self.config.edges) - 2


class PromptSet:
    """Prompts of true jets, from which batches of any rows are cut.

    Parameters
    ----------
    jets : Jets
        Labelled jets.
    """

    def __init__(self, jets: Jets) -> None:
        self.prompts = prompts_of(jets)

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """One item a jet, shape ``(n,)``."""
        return np.ones(len(self), dtype=np.int64)

    def batch(self, index: npt.NDArray[np.int64]) -> Prompt:
        """Prompts with these row numbers."""
        return self.prompts[torch.from_numpy(index)]


def prompts_of(jets: Jets) -> Prompt:
    """Class, pT, mass and multiplicity of labelled jets."""
    if jets.label is None:
        msg = "prompts need labelled jets; these carry no labels"
        raise ValueError(msg)
    return Prompt(
        torch.from_numpy(jets.label),
        torch.from_numpy(jets.pt).float(),
        torch.from_numpy(jets.mass).float(),
        torch.from_numpy(jets.multiplicity),
    )


def _bin(edges: Tensor, values: Tensor) -> Tensor:
    return (torch.searchsorted(edges, values.contiguous(), right=True) - 1).clamp(0, len(edges) - 2)


def _within(edges: Tensor, index: Tensor, generator: torch.Generator | None) -> Tensor:
    u = torch.rand(index.shape, generator=generator, device=index.device)
    return edges[index] + u * (edges[index + 1] - edges[index])


def _draw(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.multinomial(logits.float().softmax(-1), 1, generator=generator)[:, 0]
