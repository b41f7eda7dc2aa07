"""What models of token sequences learn: the next token, hidden ones, and the prompts of sequences."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from jetlab.models.alpha import OmniJetAlpha
from jetlab.models.omnijet import TokenGenerator
from jetlab.models.prompts import PromptModel
from jetlab.models.tokens import NO_TARGET, Prompt, TokenBatch
from jetlab.objectives.loss import Loss

__all__ = ["masked_particles", "next_token", "next_token_and_masked", "prompt_likelihood"]

HIDDEN = 0.4
"""Share of the constituents that masked-particle training hides."""


def next_token(model: nn.Module, batch: TokenBatch, generator: torch.Generator | None = None) -> Loss:  # noqa: ARG001
    """Cross-entropy of the next id at real positions, the stop included; logits exist only there."""
    if not isinstance(model, TokenGenerator | OmniJetAlpha):
        msg = f"next_token trains a TokenGenerator or an OmniJetAlpha, found {type(model).__name__}"
        raise TypeError(msg)
    targets = batch.targets[batch.targets != NO_TARGET]
    loss = F.cross_entropy(model(batch).float(), targets)
    return loss, {"loss": loss.detach(), "weight": torch.tensor(len(targets))}


def masked_particles(model: nn.Module, batch: TokenBatch, generator: torch.Generator | None = None) -> Loss:
    """Cross-entropy of the codes of hidden constituents, each seen from all that are shown (arXiv:2401.13537).

    Of the constituents 40 % are hidden, drawn anew for every batch.
    """
    if not (isinstance(model, OmniJetAlpha) and model.config.gpt.masked):
        what = " without a head for hidden constituents" if isinstance(model, OmniJetAlpha) else ""
        msg = f"masked_particles trains an OmniJetAlpha whose GPT is made for it, found {type(model).__name__}{what}"
        raise TypeError(msg)
    real = batch.constituents
    hidden = real & (torch.rand(real.shape, generator=generator, device=real.device) < HIDDEN)
    if not hidden.any():
        hidden[:, 1] = real[:, 1]
    targets = batch.ids[hidden]
    loss = F.cross_entropy(model.guess(batch, hidden).float(), targets)
    return loss, {"loss": loss.detach(), "weight": torch.tensor(len(targets))}


def next_token_and_masked(model: nn.Module, batch: TokenBatch, generator: torch.Generator | None = None) -> Loss:
    """Sum of `next_token` and `masked_particles`: one backbone for generation and tagging (arXiv:2512.04149)."""
    causal, terms = next_token(model, batch)
    masked, _ = masked_particles(model, batch, generator)
    loss = causal + masked
    parts = {"next_token": causal.detach(), "masked": masked.detach()}
    return loss, {"loss": loss.detach(), **parts, "weight": terms["weight"]}


def prompt_likelihood(model: nn.Module, batch: Prompt, generator: torch.Generator | None = None) -> Loss:  # noqa: ARG001
    """Negative log-likelihood of class-conditional multiplicity, mass and pT."""
    if not isinstance(model, PromptModel):
        msg = f"prompt_likelihood trains a PromptModel, found {type(model).__name__}"
        raise TypeError(msg)
    loss = model.nll(batch).mean()
    return loss, {"loss": loss.detach(), "weight": torch.tensor(len(batch))}
