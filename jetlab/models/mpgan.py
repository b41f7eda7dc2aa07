"""MPGAN, the message passing generator of JetNet (arXiv:2106.11535): noise in, jets of up to 30 particles out.

One network generates jets of one class, with as many particles as it is asked for. Its particles are relative to the
jet: etarel, phirel, ptrel, as in the files of JetNet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from jetlab.errors import JetLabError

__all__ = ["MAXIMA", "MPGAN", "MPGANConfig", "MessagePassing"]

MAXIMA = {
    "g": (1.4532885551452637, 0.520724892616272, 0.8537549376487732),
    "q": (1.6211985349655151, 0.4568111002445221, 0.8896132111549377),
    "t": (1.4242753982543945, 0.4949831962585449, 0.8774275183677673),
}
"""Largest \\|etarel\\|, \\|phirel\\| and ptrel of the jets of 30 particles that each published network has learned."""

JETS_AT_ONCE = 64


@dataclass(frozen=True)
class MPGANConfig:
    """Sizes of an `MPGAN`; the defaults are those of the published ones.

    Parameters
    ----------
    jet : str
        Class of jets: "g", "q" or "t" of the published ones.
    scales : tuple of float
        Outputs are multiplied by them, after the shift: `MAXIMA` of the class for the published ones.
    particles : int
        Slots of a jet: most particles that it can have.
    noise : int
        Random numbers of a slot.
    spread : float
        Their standard deviation.
    width : int
        Numbers of a slot between two rounds.
    edge : tuple of int
        Widths of the layers that make a message of a pair of slots.
    node : tuple of int
        Widths of the hidden layers that update a slot.
    rounds : int
        Of message passing.
    slope : float
        Of the leaky ReLU below zero.
    shifts : tuple of float
        Added to the outputs, which lie between -1 and 1, before they are multiplied.
    """

    jet: str
    scales: tuple[float, float, float]
    particles: int = 30
    noise: int = 32
    spread: float = 0.2
    width: int = 32
    edge: tuple[int, ...] = (96, 160, 192)
    node: tuple[int, ...] = (256, 256)
    rounds: int = 2
    slope: float = 0.2
    shifts: tuple[float, float, float] = (0.0, 0.0, 0.5)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> MPGANConfig:
        """Rebuild from `to_dict`."""
        names = ("scales", "edge", "node", "shifts")
        return MPGANConfig(**{**entries} | {name: tuple(entries[name]) for name in names})


class MessagePassing(nn.Module):
    """One round: each slot gets the sum of the messages of the real particles, itself included, and is updated.

    Parameters
    ----------
    inputs, outputs : int
        Numbers of a slot before and after.
    edge, node : sequence of int
        Widths of the layers of messages, and of the hidden layers of the update.
    slope : float
        Of the leaky ReLU below zero.
    """

    def __init__(
        self, inputs: int, outputs: int, *, edge: Sequence[int], node: Sequence[int], slope: float = 0.2
    ) -> None:
        super().__init__()
        self.edge = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((2 * inputs, *edge)))
        self.node = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise((edge[-1] + inputs, *node, outputs)))
        self.slope = slope

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Update slots ``(B, N, D)``, real or not, with messages of the real ones, ``(B, N)`` bool."""
        messages = (self.messages(x) * real[:, None, :, None]).sum(2)  # (B, N, E)
        x = torch.cat([messages, x], 2)
        for layer in list(self.node)[:-1]:
            x = nn.functional.leaky_relu(layer(x), self.slope)
        return self.node[-1](x)

    def messages(self, x: Tensor) -> Tensor:
        """Messages ``(B, N, N, E)`` of slots ``(B, N, D)``: entry i, j is what slot i gets from slot j."""
        first = self.edge[0]
        to, by = first.weight.chunk(2, dim=1)  # type: ignore[operator]
        x = nn.functional.linear(x, to, first.bias)[:, :, None] + nn.functional.linear(x, by)[:, None]  # type: ignore[arg-type]
        for layer in list(self.edge)[1:]:
            x = layer(nn.functional.leaky_relu(x, self.slope))
        return nn.functional.leaky_relu(x, self.slope)


class MPGAN(nn.Module):
    """Generator of jets of one class from noise.

    Parameters
    ----------
    config : MPGANConfig

    References
    ----------
    R. Kansal et al., Particle Cloud Generation with Message Passing Generative Adversarial Networks, arXiv:2106.11535.
    """

    def __init__(self, config: MPGANConfig) -> None:
        super().__init__()
        self.config = c = config
        widths = (c.noise, *(c.width,) * (c.rounds - 1), len(c.scales))
        self.rounds = nn.ModuleList(
            MessagePassing(a, b, edge=c.edge, node=c.node, slope=c.slope) for a, b in pairwise(widths)
        )

    def forward(self, noise: Tensor, count: Tensor) -> Tensor:
        """Jets of noise.

        Parameters
        ----------
        noise : Tensor, shape (B, N, F)
            Normal numbers of standard deviation `MPGANConfig.spread`.
        count : Tensor, shape (B,)
            Particles that each jet shall have.

        Returns
        -------
        Tensor, shape (B, N, 4)
            etarel, phirel, ptrel and 1 for particles; zero in slots that have none.

        Raises
        ------
        ValueError
            If the shapes differ from these.
        """
        real = self.chosen(noise, count)
        return self.relative(self.scaled(noise, real), real)

    def chosen(self, noise: Tensor, count: Tensor) -> Tensor:
        """Slots that become particles, ``(B, N)`` bool: as many as asked for, those of the least first number."""
        c = self.config
        if noise.ndim != 3 or tuple(noise.shape[1:]) != (c.particles, c.noise) or count.shape != noise.shape[:1]:
            msg = (
                f"found noise of shape {tuple(noise.shape)} and numbers of particles of shape {tuple(count.shape)}, "
                f"expected (B, {c.particles}, {c.noise}) and (B,)"
            )
            raise ValueError(msg)
        rank = noise[..., 0].argsort(dim=1, stable=True).argsort(dim=1)
        return rank < count[:, None]

    def scaled(self, noise: Tensor, real: Tensor) -> Tensor:
        """Outputs between -1 and 1 of all slots, ``(B, N, 3)``, as the adversary sees them."""
        x = noise
        for part in self.rounds:
            x = part(x, real)
        return x.tanh()

    def relative(self, scaled: Tensor, real: Tensor) -> Tensor:
        """From `scaled` outputs and the slots that are real to etarel, phirel, ptrel (at least 0) and mask."""
        c = self.config
        x = (scaled + scaled.new_tensor(c.shifts)) * scaled.new_tensor(c.scales)
        x = torch.cat([x[..., :2], x[..., 2:].clamp(min=0)], 2) * real[..., None]
        return torch.cat([x, real[..., None].to(x.dtype)], 2)

    def count_of(self, label: Tensor) -> Tensor:
        """Numbers of particles of labels ``(B,)``, n / 30, cut to whole ones in float32, as in the original."""
        return (label.float() * self.config.particles).int()

    @torch.inference_mode()
    def generate_relative(self, n: int, *, particles: int | npt.ArrayLike, seed: int = 0) -> npt.NDArray[np.float32]:
        """Jets relative to themselves, as `jetlab.evaluate.jetnet_table` takes them.

        Parameters
        ----------
        n : int
            Number of jets.
        particles : int, or array_like of shape (n,)
            Particles of each jet. JetNet takes these numbers from real jets of the class.
        seed : int
            The same seed gives the same jets on the same machine.

        Returns
        -------
        ndarray, shape (n, N, 4)
            etarel, phirel, ptrel and mask; zero in slots without a particle. The order of particles means nothing.

        Raises
        ------
        JetLabError
            If `n` is less than 1, or `particles` are no whole numbers from 1 to the number of slots.
        """
        counts = self._checked(n, particles)
        generator = torch.Generator().manual_seed(seed)
        weight = self.rounds[0].node[-1].weight  # type: ignore[index, union-attr]
        jets = []
        for part in torch.from_numpy(counts).split(JETS_AT_ONCE):
            noise = torch.randn(len(part), self.config.particles, self.config.noise, generator=generator)
            jets.append(self((self.config.spread * noise).to(weight), part.to(weight.device)).float().cpu().numpy())
        return np.concatenate(jets)

    def _checked(self, n: int, particles: int | npt.ArrayLike) -> npt.NDArray[np.int64]:
        if n < 1:
            msg = f"n is {n}, expected at least 1 jet"
            raise JetLabError(msg)
        counts, most = np.asarray(particles), self.config.particles
        if counts.dtype.kind not in "iu" or counts.shape not in ((), (n,)):
            msg = (
                f"found particles of shape {counts.shape} and kind {counts.dtype}, expected one whole number or one "
                f"for each of the {n} jets"
            )
            raise JetLabError(msg)
        if counts.min() < 1 or counts.max() > most:
            msg = f"found jets of {counts.min()} to {counts.max()} particles, expected 1 to {most}; cut what is more"
            raise JetLabError(msg)
        return np.broadcast_to(counts, n).astype(np.int64)

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> MPGAN:
        """Untrained model of the architecture in `config_dict`."""
        return MPGAN(MPGANConfig.from_dict(config))

    def config_dict(self) -> dict[str, Any]:
        """JSON-safe configuration."""
        return self.config.to_dict()
