"""A backbone over events: each jet becomes a vector in a `JetEncoder`, and a small transformer reads those of an event.

HEP-JEPA (arXiv:2502.03933) stops at single jets. Here its encoder, pretrained or not, reads each jet by itself. What it
does not know of the jet, how hard and heavy it is and where it lies among the others, goes with its vector: log pT, log
mass, and rapidity and azimuth from the hardest jet that is seen. So the event may be turned about the beam as a whole
without any effect, and jets may come in any order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from jetlab.models.blocks import mlp
from jetlab.models.encoding import Encoding
from jetlab.models.event_batches import EventBatch, EventSet, jets_at
from jetlab.models.jepa_encoder import Block, JetEncoder, JetEncoderConfig
from jetlab.models.jepa_pairs import OF_JETS, PairBias

if TYPE_CHECKING:
    from jetlab.features import Recipe
    from jetlab.jets import Events, Jets

__all__ = ["EventEncoder", "EventEncoderConfig", "from_hardest"]

KINEMATICS = 5
"""Numbers about a jet in its event; see `EventEncoder.kinematics`."""


@dataclass(frozen=True)
class EventEncoderConfig:
    """Sizes and options of an `EventEncoder`; `preset` gives named ones.

    Parameters
    ----------
    jet : JetEncoderConfig
        Of the encoder of single jets.
    n_jets : int
        So many jets of each event are read, the hardest.
    width, depth, heads : int
        Of the transformer over jets.
    expansion : int
        Width of its feed-forward layers over `width`.
    physics_bias : bool
        Its attention has a bias for each pair of jets, made of their momenta.

    Raises
    ------
    ValueError
        If sizes do not fit each other.
    """

    jet: JetEncoderConfig = field(default_factory=JetEncoderConfig)
    n_jets: int = 4
    width: int = 64
    depth: int = 2
    heads: int = 4
    expansion: int = 4
    physics_bias: bool = True

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads:
            msg = f"width {self.width} cannot be split into {self.heads} heads; choose a multiple of them"
            raise ValueError(msg)
        if self.n_jets < 1 or self.depth < 1:
            msg = f"there are {self.n_jets} jets of an event and {self.depth} blocks; expected 1 or more of both"
            raise ValueError(msg)

    @property
    def recipe(self) -> Recipe:
        """How jets become the inputs."""
        return self.jet.recipe

    @staticmethod
    def preset(name: str, *, n_jets: int = 4, jet: JetEncoderConfig | None = None) -> EventEncoderConfig:
        """Half as deep as a preset of `JetEncoderConfig`, and as wide.

        Parameters
        ----------
        name : str
            ``tiny``, ``small`` or ``medium``.
        n_jets : int
            So many jets of each event are read.
        jet : JetEncoderConfig, optional
            Of the encoder of single jets, if it is another one, such as a pretrained one.
        """
        c = JetEncoderConfig.preset(name)
        return EventEncoderConfig(jet or c, n_jets, c.width, c.depth // 2, c.heads)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form."""
        return asdict(self)

    @staticmethod
    def from_dict(entries: Mapping[str, Any]) -> EventEncoderConfig:
        """Rebuild from `to_dict`."""
        return EventEncoderConfig(**{**entries, "jet": JetEncoderConfig.from_dict(entries["jet"])})


class EventEncoder(nn.Module):
    """Backbone over the jets of events; the event is the mean of its jets.

    Parameters
    ----------
    config : EventEncoderConfig
    """

    def __init__(self, config: EventEncoderConfig) -> None:
        super().__init__()
        self.config = c = config
        self.jet = JetEncoder(c.jet)
        self.enter = nn.Linear(c.jet.width, c.width)
        self.place = mlp(KINEMATICS, c.width, c.width)
        self.pairs = PairBias(c.heads, typical=OF_JETS) if c.physics_bias else None
        self.blocks = nn.ModuleList(Block(c.width, c.heads, expansion=c.expansion) for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.width)
        for block in self.blocks:
            assert isinstance(block, Block)
            block.start(depth=c.depth)

    @classmethod
    def on(cls, jet: JetEncoder, *, preset: str = "tiny", n_jets: int = 4) -> EventEncoder:
        """Put a new transformer over jets on an encoder of jets, which is taken over as it is, weights and all.

        Parameters
        ----------
        jet : JetEncoder
        preset, n_jets
            As for `EventEncoderConfig.preset`.
        """
        made = cls(EventEncoderConfig.preset(preset, n_jets=n_jets, jet=jet.config))
        made.jet = jet
        return made

    def prepare(self, events: Events | Jets) -> EventSet:
        """Events as the encoder reads them, from which batches of any rows are cut; jets alone are refused."""
        c = self.config
        return EventSet(events, c.recipe, n_jets=c.n_jets, subjets=c.jet.subjets)

    def encode(self, batch: EventBatch, *, visible: Tensor | None = None) -> Encoding:
        """Encode jets and events; an event without jets is zero.

        Parameters
        ----------
        batch : EventBatch
        visible : Tensor of bool, shape (B, K), optional
            Only these jets are read; the others have no part in it, and are zero and masked in the result.

        Returns
        -------
        Encoding
            Jets ``(B, K, D)`` as its particles, events ``(B, D)`` as its jets, and which jets there are ``(B, K)``.
        """
        seen = batch.mask if visible is None else batch.mask & visible
        momenta = from_hardest(batch.momenta, seen)
        bias = self._bias(momenta, seen)
        x = self._entered(batch, momenta, seen)
        for block in self.blocks:
            x = block(x, bias)
        x = self.norm(x) * seen[..., None]
        return Encoding(x, x.sum(1) / seen.sum(1, keepdim=True).clamp(min=1), seen)

    @staticmethod
    def kinematics(momenta: Tensor) -> Tensor:
        """What a jet is in its event, from momenta ``(..., 4)`` seen from the hardest jet, shape ``(..., 5)``.

        Logarithms of pT and mass, rapidity, cosine and sine of the azimuth.
        """
        pt, y, phi, mass2 = momenta.unbind(-1)
        hardness, heaviness = pt.clamp(min=1).log() - 6, 0.5 * mass2.clamp(min=1).log() - 4  # near 0 for boosted jets
        return torch.stack([hardness, heaviness, y, phi.cos(), phi.sin()], -1)

    def _entered(self, batch: EventBatch, momenta: Tensor, seen: Tensor) -> Tensor:
        """Jets that are seen, before they have read each other, shape ``(B, K, D)``; only these are encoded."""
        which = seen[batch.mask].nonzero()[:, 0]  # among the jets that there are
        x = momenta.new_zeros(*seen.shape, self.config.width)
        if not len(which):
            return x
        jets = self.enter(self.jet.encode(jets_at(batch.jets, which)).jet)  # (m, D)
        h = jets + self.place(self.kinematics(momenta[seen]))
        return x.to(h.dtype).masked_scatter(seen[..., None], h)

    def _bias(self, momenta: Tensor, seen: Tensor) -> Tensor:
        """What is added to the scores, shape ``(B, H or 1, K, K)``, minus infinity for jets that are not seen.

        Each place sees itself, also where there is no jet, so that every score is finite.
        """
        sees = seen[:, None, :] | torch.eye(seen.shape[1], dtype=torch.bool, device=seen.device)
        hidden = torch.zeros(sees.shape, device=seen.device).masked_fill(~sees, -math.inf)[:, None]
        return hidden if self.pairs is None else self.pairs(momenta, seen) + hidden


def from_hardest(momenta: Tensor, seen: Tensor) -> Tensor:
    """Momenta with rapidity and azimuth from those of the hardest jet that is seen, the first of equally hard ones.

    Parameters
    ----------
    momenta : Tensor, shape (B, K, 4)
        pT [GeV], rapidity, azimuth and squared mass [GeV²] of jets.
    seen : Tensor of bool, shape (B, K)

    Returns
    -------
    Tensor, shape (B, K, 4)
        Of all jets, seen or not.
    """
    hardest = momenta[..., 0].masked_fill(~seen, -1).argmax(1)
    axis = momenta[torch.arange(len(momenta), device=momenta.device), hardest][:, None]  # (B, 1, 4)
    pt, y, phi, mass2 = momenta.unbind(-1)
    around = (phi - axis[..., 2] + math.pi) % (2 * math.pi) - math.pi
    return torch.stack([pt, y - axis[..., 1], around, mass2], -1)
