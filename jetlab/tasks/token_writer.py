"""Train a JEPA encoder to write jets, cell by cell; each stage resumable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from jetlab.errors import InvalidJetsError
from jetlab.models.jepa_encoder import JetEncoder
from jetlab.models.jepa_start import take_over
from jetlab.models.token_writer import TokenWriter, TokenWriterConfig
from jetlab.objectives import NextParticle
from jetlab.tasks.prompts import train_prompts
from jetlab.train import Run, fit

if TYPE_CHECKING:
    from jetlab.jets import Jets
    from jetlab.train.engine import Precision

__all__ = ["TokenWriterTraining", "train_token_writer"]


@dataclass(frozen=True)
class TokenWriterTraining:
    """Outcome of `train_token_writer`: the model and the run of each stage."""

    model: TokenWriter
    prompts: Run
    writer: Run


def train_token_writer(
    train: Jets,
    valid: Jets,
    *,
    preset: str = "tiny",
    start: JetEncoder | None = None,
    prompt_steps: int = 2000,
    steps: int = 10_000,
    batch_size: int = 128,
    lr: float = 1e-3,
    precision: Precision = "fp32",
    device: str = "auto",
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> TokenWriterTraining | None:
    """Train a `TokenWriter` on labelled jets: what jets are like as a whole, then their constituents.

    Parameters
    ----------
    train, valid : Jets
        Labelled jets with the same class list.
    preset : str
        As for `TokenWriterConfig.preset`.
    start : JetEncoder, optional
        A pretrained encoder, such as `jetlab.tasks.finetune.backbone_of` gives, to begin with, whatever the preset.
    prompt_steps, steps : int
        Length of the stages in steps of `batch_size` jets (20 times as many for the first).
    batch_size : int
        Jets in a step.
    lr : float
        Highest learning rate of the second stage.
    precision : {"fp32", "bf16"}
        Of the second stage.
    device : str
        "auto" takes a GPU if there is one.
    seed : int
        Of weights, order and random numbers.
    out : str or Path, optional
        Folder for checkpoints; the same call continues a training that was interrupted in any stage.
    progress, stop
        As for `jetlab.fit`.

    Returns
    -------
    TokenWriterTraining or None
        None if stopped in the first stage.

    Raises
    ------
    InvalidJetsError
        If the jets carry no labels or their class lists differ.
    """
    if train.label is None or valid.label is None or train.classes != valid.classes:
        msg = "training and validation jets must be labelled with the same classes"
        raise InvalidJetsError(msg)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _untrained(preset, train.classes, start)
    folder = None if out is None else Path(out)
    prompts = train_prompts(
        model.prompts,
        train,
        valid,
        steps=prompt_steps,
        batch_size=20 * batch_size,
        device=device,
        seed=seed,
        out=None if folder is None else folder / "prompts",
        title="prompts (1 of 2)",
        progress=progress,
        stop=stop,
    )
    if not prompts.finished:
        return None
    seen = model.prepare(train)
    model.learn_scale(seen)
    writer = fit(
        model,
        NextParticle(),
        seen,
        model.prepare(valid),
        steps=steps,
        batch_size=batch_size,
        optimizer="muon",
        lr=lr,
        schedule="wsd",
        ema=0.999,
        precision=precision,
        device=device,
        seed=seed,
        out=None if folder is None else folder / "writer",
        progress=progress,
        title="constituents (2 of 2)",
        stop=stop,
    )
    return TokenWriterTraining(model, prompts, writer)


def _untrained(preset: str, classes: tuple[str, ...], start: JetEncoder | None) -> TokenWriter:
    config = TokenWriterConfig.preset(preset, classes=classes)
    if start is None:
        return TokenWriter(config)
    model = TokenWriter(replace(config, encoder=replace(start.config, told=config.conditions.width)))
    take_over(model.encoder, start)
    return model
