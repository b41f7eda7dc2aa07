"""Train an encoder of jets without labels: it learns to predict how hidden parts of a jet are encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from jetlab.masking import MaskedSet
from jetlab.models.jepa import Jepa, JepaConfig
from jetlab.models.masked import MaskedModel, MaskedModelConfig
from jetlab.models.pretrainer import Pretrainer
from jetlab.objectives import JEPA, MaskedParticles, Mixture
from jetlab.train import Run, fit

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from jetlab.features import Recipe
    from jetlab.features.augment import Augmentations
    from jetlab.jets import Jets
    from jetlab.masking import Masking
    from jetlab.models.jepa_encoder import TokenKind
    from jetlab.train.engine import Precision
    from jetlab.train.optimizers import OptimizerName

__all__ = ["JepaTraining", "train_jepa"]


@dataclass(frozen=True)
class JepaTraining:
    """Outcome of `train_jepa`: the model and its run."""

    model: Jepa
    run: Run


def train_jepa(
    train: Jets,
    valid: Jets,
    *,
    preset: str = "tiny",
    tokens: TokenKind = "particles",
    physics_bias: bool = True,
    registers: int = 0,
    recipe: Recipe | None = None,
    masking: Masking | None = None,
    augment: Augmentations | None = None,
    objective: JEPA | None = None,
    config: JepaConfig | None = None,
    masked: float = 0.0,
    steps: int = 10_000,
    batch_size: int = 128,
    lr: float = 1e-3,
    weight_decay: float = 0.05,
    optimizer: OptimizerName = "muon",
    precision: Precision = "fp32",
    device: str = "auto",
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    on_start: Callable[[Run], None] | None = None,
    watch: Callable[[nn.Module], Mapping[str, float]] | None = None,
) -> JepaTraining:
    """Train a `Jepa` on jets; labels, if there are any, are not looked at.

    Parameters
    ----------
    train, valid : Jets
    preset, tokens, physics_bias, registers, recipe, masking
        As for `jetlab.models.jepa.JepaConfig.preset`.
    augment : Augmentations, optional
        Made to the jets that are learned from.
    objective : JEPA, optional
        By default, smooth L1 distances, with a momentum that reaches 1 at the last step.
    config : JepaConfig, optional
        In place of the preset and its options, for what they do not reach.
    masked : float
        Weight of a second task of the encoder that learns, to guess hidden particles themselves (arXiv:2409.12589), of
        which only the rank in pT is known. The tokens must be particles. 0 for none, as published.
    steps, batch_size : int
        Length of the training in steps of so many jets.
    lr, weight_decay : float
    optimizer : {"adamw", "muon", "lion"}
        As for `jetlab.fit`; the learning rate falls as a cosine.
    precision : {"fp32", "bf16"}
    device : str
        "auto" takes a GPU if there is one.
    seed : int
        Of weights, order, masks and augmentations.
    out : str or Path, optional
        Folder for checkpoints; the same call continues a training that was interrupted.
    progress, stop, on_step, on_start, watch
        As for `jetlab.fit`.

    Returns
    -------
    JepaTraining
        Its run is not finished if the training was stopped.
    """
    if config is None:
        config = JepaConfig.preset(
            preset, tokens=tokens, physics_bias=physics_bias, registers=registers, recipe=recipe, masking=masking
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Jepa(config)
        learner: Jepa | Pretrainer = model
        if masked:
            learner = Pretrainer({"jepa": model, "masked": MaskedModel(MaskedModelConfig(config.encoder))})
    learns: JEPA | Mixture = objective or JEPA(steps=steps)
    data = learner.prepare(train, seed=seed, augment=augment)
    if isinstance(learner, Pretrainer) and isinstance(data, MaskedSet):
        learns = Mixture({"jepa": (learns, 1.0), "masked": (MaskedParticles(), masked)})
        learner.learn_scale(data.particles)
    run = fit(
        learner,
        learns,
        data,
        learner.prepare(valid, seed=seed),
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        optimizer=optimizer,
        precision=precision,
        device=device,
        seed=seed,
        out=out,
        progress=progress,
        title="jepa",
        stop=stop,
        on_step=on_step,
        on_start=on_start,
        watch=watch,
    )
    return JepaTraining(model, run)
