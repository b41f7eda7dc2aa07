"""Train the small model of whole jets that generators are asked with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jetlab.models.prompts import PromptModel, PromptSet
from jetlab.objectives import prompt_likelihood
from jetlab.train import Run, fit

if TYPE_CHECKING:
    from jetlab.jets import Jets

__all__ = ["train_prompts"]


def train_prompts(
    model: PromptModel,
    train: Jets,
    valid: Jets,
    *,
    steps: int,
    batch_size: int,
    device: str,
    seed: int,
    out: Path | None,
    title: str,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> Run:
    """Place the bins of a prompt model and learn how many jets of each class are where; parameters as for `jetlab.fit`.

    Parameters
    ----------
    model : PromptModel
        Trained in place.
    train, valid : Jets
        Labelled jets.
    """
    model.set_edges(train)
    return fit(
        model,
        prompt_likelihood,
        PromptSet(train),
        PromptSet(valid),
        steps=steps,
        batch_size=batch_size,
        lr=3e-3,
        weight_decay=0.0,
        ema=0.999,
        device=device,
        seed=seed,
        out=out,
        progress=progress,
        title=title,
        stop=stop,
    )
