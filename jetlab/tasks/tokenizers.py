"""Train a tokenizer of any kind from jets, resumable."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from jetlab.batches import ParticleSet
from jetlab.models.tokenizers import BinnedConfig, BinnedTokenizer, Tokenizer, VQVAEConfig, make_tokenizer
from jetlab.objectives import reconstruction
from jetlab.train import Run, fit
from jetlab.train.order import validation_batches
from jetlab.train.run import Means

if TYPE_CHECKING:
    from jetlab.jets import Jets
    from jetlab.train.engine import Precision

__all__ = ["train_tokenizer"]


def train_tokenizer(
    train: Jets,
    valid: Jets,
    *,
    config: VQVAEConfig | BinnedConfig,
    steps: int = 4000,
    batch_size: int = 128,
    lr: float = 2e-3,
    precision: Precision = "fp32",
    device: str = "auto",
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> tuple[Tokenizer, Run]:
    """Train a tokenizer to rebuild the constituents of jets; labels are not used.

    Parameters
    ----------
    train, valid : Jets
        Jets to learn from, and jets to watch.
    config : VQVAEConfig or BinnedConfig
        What to train, for instance from `jetlab.models.tokenizers.tokenizer_config`. A grid is placed on the training
        jets in one go; the options of the training do not matter to it.
    steps : int
        Length of the training in steps of `batch_size` jets.
    batch_size : int
        Jets in a step.
    lr : float
        Highest learning rate.
    precision : {"fp32", "bf16"}
        Of the networks; the nearest code is always found in fp32.
    device : str
        "auto" takes a GPU if there is one.
    seed : int
        Of weights, order and random numbers.
    out : str or Path, optional
        Folder for checkpoints; the same call continues a training that was interrupted.
    progress, stop
        As for `jetlab.fit`.

    Returns
    -------
    tokenizer : Tokenizer
        In evaluation mode.
    run : Run
        Its history has the squared error of the inputs, the loss of the quantizer and the perplexity of the codes in
        a batch; unfinished if the training was stopped.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tokenizer = make_tokenizer(config)
    particles = ParticleSet(train, config.recipe), ParticleSet(valid, config.recipe)
    if isinstance(tokenizer, BinnedTokenizer):
        return tokenizer.eval(), _place(tokenizer, *particles, batch_size=batch_size)
    run = fit(
        tokenizer,
        reconstruction,
        *particles,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        schedule="wsd",
        precision=precision,
        device=device,
        seed=seed,
        out=out,
        progress=progress,
        title="tokenizer",
        stop=stop,
    )
    return tokenizer, run


@torch.no_grad()
def _place(tokenizer: BinnedTokenizer, train: ParticleSet, valid: ParticleSet, *, batch_size: int) -> Run:
    """Place a grid on jets, which is its whole training, and measure it on others."""
    run, began = Run(tokenizer, total=1), time.perf_counter()
    tokenizer.place(train)
    means = Means()
    for rows in validation_batches(valid.lengths, batch_size):
        _, terms = reconstruction(tokenizer, valid.batch(rows))
        values = {name: float(value) for name, value in terms.items()}
        means.add(values, values.pop("weight"))
    run.steps, run.seconds = 1, time.perf_counter() - began
    run.best = {"step": 1, **means.values()}
    run.rows.add({"step": 1, "epoch": 0, "seconds": run.seconds} | {f"valid_{k}": v for k, v in means.values().items()})
    return run
