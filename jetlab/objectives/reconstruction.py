"""What tokenizers learn."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from jetlab.batches import ParticleBatch
from jetlab.features import Recipe
from jetlab.models.tokenizers import Tokenizer
from jetlab.objectives.loss import Loss

__all__ = ["reconstruction"]


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


def _momentum_weight(batch: ParticleBatch, recipe: Recipe) -> Tensor:
    column = recipe.column("pt")
    log_pt = batch.x[..., column] / recipe.features[column].multiply
    root = torch.exp(0.5 * log_pt) * batch.mask
    return root * batch.mask.sum(1, keepdim=True) / root.sum(1, keepdim=True).clamp(min=1e-9)
