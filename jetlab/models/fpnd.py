"""The ParticleNet of JetNet (arXiv:2106.11535), whose last hidden layer is the space of the FPND distance.

It differs from `jetlab.models.particlenet`: blocks have no shortcut but hand their input on, and it sees 30 slots,
those without a particle like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from jetlab.kernels.neighbours import neighbours
from jetlab.models.particlenet import EdgeConv

__all__ = ["FPNDConfig", "FPNDNet"]

JETS_AT_ONCE = 64


@dataclass(frozen=True)
class FPNDConfig:
    """Sizes of an `FPNDNet`; the defaults are those of the published one.

    Parameters
    ----------
    particles : int
        Slots of a jet.
    blocks : tuple of tuples of int
        Widths of the layers of each EdgeConv block.
    neighbours : int
        Neighbours of a slot.
    width : int
        Of the last hidden layer: numbers that describe a jet.
    classes : tuple of str
        That it tells apart.
    scales, shifts : tuple of float
        Inputs are etarel, phirel, ptrel divided by the one, plus the other, also where there is no particle.
    references : tuple of str
        Classes whose published statistics of real jets are stored with the weights.
    """

    particles: int = 30
    blocks: tuple[tuple[int, ...], ...] = ((64,) * 3, (128,) * 3, (256,) * 3)
    neighbours: int = 16
    width: int = 256
    classes: tuple[str, ...] = ("g", "t", "q", "w", "z")
    scales: tuple[float, float, float] = (1.6211985349655151, 0.520724892616272, 0.8934717178344727)
    shifts: tuple[float, float, float] = (0.0, 0.0, -0.5)
    references: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> FPNDConfig:
        """Rebuild from `to_dict`."""
        blocks = tuple(tuple(int(width) for width in block) for block in entries["blocks"])
        names = ("classes", "scales", "shifts", "references")
        return FPNDConfig(**{**entries, "blocks": blocks} | {name: tuple(entries[name]) for name in names})


class FPNDNet(nn.Module):
    """Classifier of jets of 30 particles that describes them for the Frechet ParticleNet distance.

    Parameters
    ----------
    config : FPNDConfig
    """

    def __init__(self, config: FPNDConfig) -> None:
        super().__init__()
        self.config = c = config
        inputs = [len(c.scales)]
        for widths in c.blocks:
            inputs.append(inputs[-1] + widths[-1])
        self.blocks = nn.ModuleList(EdgeConv(a, b, shortcut=False) for a, b in zip(inputs, c.blocks, strict=False))
        self.describe_jet, self.classify = nn.Linear(inputs[-1], c.width), nn.Linear(c.width, len(c.classes))
        count = len(c.references)
        self.register_buffer("means", torch.zeros(count, c.width, dtype=torch.float64))
        self.register_buffer("covariances", torch.zeros(count, c.width, c.width, dtype=torch.float64))

    def forward(self, jets: Tensor) -> Tensor:
        """Logits ``(B, classes)`` of jets ``(B, N, 3)``: etarel, phirel, ptrel, zero where there is no particle."""
        return self.classify(self.activations(jets).relu())

    def activations(self, jets: Tensor) -> Tensor:
        """Numbers that describe jets, ``(B, N, 3)`` to ``(B, width)``; the function of the FPND."""
        return self.describe_jet(self.after_blocks(jets).mean(1))

    def after_blocks(self, jets: Tensor, count: int | None = None) -> Tensor:
        """What the first `count` blocks, or all, make of each slot, with their inputs, ``(B, N, D)``."""
        c = self.config
        if jets.ndim != 3 or tuple(jets.shape[1:]) != (c.particles, len(c.scales)):
            msg = f"found jets of shape {tuple(jets.shape[1:])}, expected ({c.particles}, {len(c.scales)}): {_INPUTS}"
            raise ValueError(msg)
        b, n, _ = jets.shape
        x = (jets / jets.new_tensor(c.scales) + jets.new_tensor(c.shifts)).flatten(0, 1)  # (B N, 3)
        slots = torch.arange(b * n, device=x.device).view(b, n)
        for k, block in enumerate(list(self.blocks)[:count]):
            near = neighbours((x if k else x[:, :2]).double(), slots, k=c.neighbours)
            x = torch.cat([block.messages(x, near), x], 1)  # type: ignore[operator]
        return x.view(b, n, -1)

    @torch.inference_mode()
    def describe(self, jets: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Activations ``(n, width)`` of an array of jets ``(n, N, 3)``, a few jets at a time."""
        weight = self.describe_jet.weight
        x = torch.from_numpy(np.asarray(jets, np.float32)).to(weight.device)
        if not len(x):
            return np.empty((0, self.config.width))
        return np.concatenate([self.activations(part).double().cpu().numpy() for part in x.split(JETS_AT_ONCE)])

    def reference(self, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
        """Published mean ``(width,)`` and covariance ``(width, width)`` of real jets of a class, if they are stored."""
        if name not in self.config.references:
            return None
        k = self.config.references.index(name)
        return self.get_buffer("means")[k].cpu().numpy(), self.get_buffer("covariances")[k].cpu().numpy()

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> FPNDNet:
        """Untrained model of the architecture in `config_dict`."""
        return FPNDNet(FPNDConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()


_INPUTS = "etarel, phirel, ptrel of the hardest particles, zero where there is none"
