"""What is learned: each objective maps (model, batch) to a loss and named terms. Padding never enters a loss.

Terms are detached; ``weight`` is the number of items that the loss is a mean of.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.errors import InvalidJetsError
from jetlab.features import Recipe
from jetlab.models.alpha import OmniJetAlpha
from jetlab.models.omnijet import TokenGenerator
from jetlab.models.prompts import PromptModel
from jetlab.models.tagger import Tagger
from jetlab.models.tokenizers import Tokenizer
from jetlab.models.tokens import NO_TARGET, Prompt, TokenBatch

__all__ = [
    "Loss",
    "classification",
    "masked_particles",
    "next_token",
    "next_token_and_masked",
    "prompt_likelihood",
    "reconstruction",
]

Loss = tuple[Tensor, dict[str, Tensor]]

HIDDEN = 0.4
"""Share of the constituents that masked-particle training hides."""


def reconstruction(model: nn.Module, batch: ParticleBatch, generator: torch.Generator | None = None) -> Loss:
    """Rebuild the inputs of a tokenizer: squared error over real particles plus the loss of the quantizer.

    Where the tokenizer asks for it, particles count by the square root of their share of the jet's momentum, so that
    the hard ones, which make mass and substructure, are rebuilt best.
    """
    if not isinstance(model, Tokenizer):
        msg = f"reconstruction trains a tokenizer, found {type(model).__name__}"
        raise TypeError(msg)
    out = model(batch, generator)
    squared = (out.x.float() - batch.x).square().mean(-1)  # (B, N)
    plain = squared[batch.mask].mean()
    rebuilt = plain
    if model.weighting == "momentum":
        rebuilt = (squared * _momentum_weight(batch, model.recipe)).sum() / batch.mask.sum()
    loss = rebuilt + model.alpha * out.commitment
    with torch.no_grad():
        share = torch.bincount(out.codes, minlength=model.codebook_size) / len(out.codes)
        perplexity = torch.exp(-(share * share.clamp(min=1e-12).log()).sum())
    return loss, {
        "loss": loss.detach(),
        "squared_error": plain.detach(),
        "commitment": out.commitment.detach(),
        "perplexity": perplexity,
        "weight": batch.mask.sum(),
    }


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


def classification(model: nn.Module, batch: ParticleBatch, generator: torch.Generator | None = None) -> Loss:  # noqa: ARG001
    """Cross-entropy of the class of each jet; also tells the share of jets that are recognised."""
    if not isinstance(model, Tagger):
        msg = f"classification trains a Tagger, found {type(model).__name__}"
        raise TypeError(msg)
    if batch.label is None:
        msg = "classification needs labelled jets, found a batch without labels"
        raise InvalidJetsError(msg)
    logits = model(batch).float()  # (B, classes)
    loss = F.cross_entropy(logits, batch.label)
    right = (logits.detach().argmax(1) == batch.label).float().mean()
    return loss, {"loss": loss.detach(), "accuracy": right, "weight": torch.tensor(len(batch.label))}


def _momentum_weight(batch: ParticleBatch, recipe: Recipe) -> Tensor:
    column = recipe.column("pt")
    log_pt = batch.x[..., column] / recipe.features[column].multiply
    root = torch.exp(0.5 * log_pt) * batch.mask
    return root * batch.mask.sum(1, keepdim=True) / root.sum(1, keepdim=True).clamp(min=1e-9)
