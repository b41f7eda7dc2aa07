"""The optimizers that `jetlab.fit` offers, by name."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from jetlab.errors import TrainingError
from jetlab.train.lion import Lion

__all__ = ["OptimizerName", "Optimizers", "make_optimizers", "parameter_groups"]

OptimizerName = Literal["adamw", "muon", "lion"]


class Optimizers:
    """Several optimizers, each of some of the parameters, used like one."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of all of them."""
        return list(chain.from_iterable(part.param_groups for part in self.parts))

    def step(self) -> None:
        """Update all parameters."""
        for part in self.parts:
            part.step()

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for part in self.parts:
            part.zero_grad()

    def state_dict(self) -> list[dict[str, Any]]:
        """State of each."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Take over what `state_dict` returned."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


def make_optimizers(
    model: nn.Module,
    name: OptimizerName,
    *,
    lr: float,
    betas: tuple[float, float],
    weight_decay: float,
    lr_factors: Mapping[str, float] | None = None,
) -> Optimizers:
    """Optimizers for all trainable parameters of a model.

    Parameters
    ----------
    model : torch.nn.Module
    name : {"adamw", "muon", "lion"}
        "adamw" [1]_ for everything, or "muon" [2]_ for the matrices of stacked blocks, whose updates it makes
        orthogonal and as large as AdamW's [3]_, and AdamW for the rest; or "lion" [4]_ for everything.
    lr, weight_decay : float
        For all parts alike.
    betas : tuple of float
        AdamW's memory for gradients and their squares, or Lion's for the step and for the momentum.
    lr_factors : mapping of str to float, optional
        What the learning rate of the parameters of a module, named as in ``model.named_modules()``, is multiplied by,
        such as ``{"backbone": 0.1}``. Groups carry it as ``factor``.

    Raises
    ------
    TrainingError
        If there is no such optimizer or module, a factor is not positive, or there is nothing to train.

    References
    ----------
    .. [1] Loshchilov and Hutter, "Decoupled weight decay regularization", arXiv:1711.05101.
    .. [2] Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
    .. [3] Liu et al., "Muon is scalable for LLM training", arXiv:2502.16982.
    .. [4] Chen et al., "Symbolic discovery of optimization algorithms", arXiv:2302.06675.
    """
    if name not in get_args(OptimizerName):
        msg = f"optimizer is {name!r}, expected one of {', '.join(map(repr, get_args(OptimizerName)))}"
        raise TrainingError(msg)
    groups = _by_factor(parameter_groups(model, weight_decay), _factors(model, lr_factors or {}))
    if not groups:
        msg = "the model has no trainable parameters: requires_grad is False for all of them"
        raise TrainingError(msg)
    if name == "lion":
        return Optimizers(Lion(groups, lr=lr, betas=betas))
    hidden = {id(p) for p in _block_matrices(model)} if name == "muon" else set()
    muon = [{**group, "params": [p for p in group["params"] if id(p) in hidden]} for group in groups]
    adamw = [{**group, "params": [p for p in group["params"] if id(p) not in hidden]} for group in groups]
    muon, adamw = ([group for group in part if group["params"]] for part in (muon, adamw))
    parts: list[torch.optim.Optimizer] = [torch.optim.AdamW(adamw, lr=lr, betas=betas, fused=True)] if adamw else []
    if muon:
        parts.append(torch.optim.Muon(muon, lr=lr, adjust_lr_fn="match_rms_adamw"))
    return Optimizers(*parts)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Trainable parameters in two groups: matrices, which decay, and what does not.

    Those are gains and biases, embeddings, and learned tokens, which are parameters called ``token`` or ``tokens``.
    """
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)}
    embeddings |= {id(p) for name, p in model.named_parameters() if name.rsplit(".", 1)[-1] in ("token", "tokens")}
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim >= 2 and id(p) not in embeddings]
    others = [p for p in trained if p.ndim < 2 or id(p) in embeddings]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _factors(model: nn.Module, factors: Mapping[str, float]) -> dict[int, float]:
    """Factor of each parameter that has one, by its identity."""
    modules = dict(model.named_modules())
    for name, factor in factors.items():
        if name not in modules or not factor > 0:
            parts = ", ".join(part for part, _ in model.named_children())
            msg = f"lr_factors has {name!r}: {factor}, expected a positive factor for a part of the model: {parts}"
            raise TrainingError(msg)
    return {id(p): factor for name, factor in factors.items() for p in modules[name].parameters()}


def _by_factor(groups: list[dict[str, Any]], factors: Mapping[int, float]) -> list[dict[str, Any]]:
    """Split groups into those of one factor each, which they carry as ``factor``."""
    split = []
    for group in groups:
        for factor in dict.fromkeys(factors.get(id(p), 1.0) for p in group["params"]):
            params = [p for p in group["params"] if factors.get(id(p), 1.0) == factor]
            split.append({**group, "params": params, "factor": factor})
    return split


def _block_matrices(model: nn.Module) -> list[Tensor]:
    """Trainable weights of the linear layers in every `ModuleList`, each once."""
    blocks = [m for m in model.modules() if isinstance(m, nn.ModuleList)]
    linear = (m for block in blocks for m in block.modules() if isinstance(m, nn.Linear))
    return list({id(m.weight): m.weight for m in linear if m.weight.requires_grad}.values())
