"""Train a generator of jets that moves all constituents at once, and that classifies jets too; each stage resumable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from jetlab.batches import ParticleSet
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.models.jepa_encoder import JetEncoder
from jetlab.models.jepa_flow import JepaFlowConfig
from jetlab.models.jepa_start import take_over
from jetlab.models.jetflow import JetFlow, JetFlowConfig
from jetlab.objectives import Diffusion, FlowMatching
from jetlab.tasks.prompts import train_prompts
from jetlab.train import Run, fit

if TYPE_CHECKING:
    from jetlab.jets import Jets
    from jetlab.train.engine import Precision

__all__ = ["JetFlowTraining", "fit_constituents", "train_jetflow", "untrained_jetflow"]


@dataclass(frozen=True)
class JetFlowTraining:
    """Outcome of `train_jetflow`: the model and the run of each stage."""

    model: JetFlow
    prompts: Run
    particles: Run


def train_jetflow(
    train: Jets,
    valid: Jets,
    *,
    preset: str = "tiny",
    network: str = "omnilearned",
    start: JetEncoder | None = None,
    objective: FlowMatching | Diffusion | None = None,
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
) -> JetFlowTraining | None:
    """Train a `JetFlow` on labelled jets: what jets are like as a whole, then their constituents and classes.

    Parameters
    ----------
    train, valid : Jets
        Labelled jets with the same class list.
    preset : str
    network : {"omnilearned", "omnilearn", "jepa"}
        What moves constituents: both as for `jetlab.models.jetflow.JetFlowConfig.preset`.
    start : JetEncoder, optional
        A pretrained encoder, such as `jetlab.tasks.finetune.backbone_of` gives, that the network "jepa" begins with,
        whatever the preset.
    objective : FlowMatching or Diffusion, optional
        That of the network: flow matching as in OmniLearned (arXiv:2510.24066), without the contrastive part and with
        errors in units of the noise, since directions are hardly learned otherwise; or diffusion as in OmniLearn
        (arXiv:2404.16091).
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
    JetFlowTraining or None
        None if stopped in the first stage.

    Raises
    ------
    InvalidJetsError
        If the jets carry no labels or their class lists differ.
    JetLabError
        If a pretrained encoder is given to another network.
    """
    if train.label is None or valid.label is None or train.classes != valid.classes:
        msg = "training and validation jets must be labelled with the same classes"
        raise InvalidJetsError(msg)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = untrained_jetflow(preset, train.classes, network=network, start=start)
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
    particles = fit_constituents(
        model,
        model.prepare(train),
        model.prepare(valid),
        objective=objective
        or (Diffusion() if network == "omnilearn" else FlowMatching(mean_over="particles", unit="noise")),
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        precision=precision,
        device=device,
        seed=seed,
        out=None if folder is None else folder / "particles",
        title="constituents (2 of 2)",
        progress=progress,
        stop=stop,
    )
    return JetFlowTraining(model, prompts, particles)


def fit_constituents(
    model: JetFlow,
    train: ParticleSet,
    valid: ParticleSet | None = None,
    *,
    objective: FlowMatching | Diffusion,
    steps: int,
    batch_size: int,
    lr: float,
    precision: Precision = "fp32",
    device: str = "auto",
    seed: int = 0,
    out: Path | None = None,
    title: str = "constituents",
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> Run:
    """Train the network of a `JetFlow` in place, and keep in which range its inputs are.

    Parameters
    ----------
    model : JetFlow
    train, valid : ParticleSet
        From `JetFlow.prepare`.
    objective, steps, batch_size, lr, precision, device, seed
        As for `train_jetflow`.
    out, title, progress, stop
        As for `jetlab.fit`.
    """
    model.learn_range(train)
    return fit(
        model.particles,
        objective,
        train,
        valid,
        steps=steps,
        batch_size=batch_size,
        optimizer="muon",
        lr=lr,
        schedule="wsd",
        ema=0.999,
        precision=precision,
        device=device,
        seed=seed,
        out=out,
        progress=progress,
        title=title,
        stop=stop,
    )


def untrained_jetflow(
    preset: str, classes: tuple[str, ...], *, network: str = "omnilearned", start: JetEncoder | None = None
) -> JetFlow:
    """A model of the preset, or one of the sizes of a pretrained encoder, which it begins with.

    Parameters and errors as for `train_jetflow`.
    """
    config = JetFlowConfig.preset(preset, classes=classes, network=network)
    if start is None:
        return JetFlow(config)
    if not isinstance(config.particles, JepaFlowConfig):
        msg = f"the network {network} has no JEPA encoder to begin with; take network='jepa'"
        raise JetLabError(msg)
    encoder = replace(start.config, told=config.told)
    model = JetFlow(replace(config, particles=replace(config.particles, encoder=encoder)))
    take_over(model.particles.encoder, start)  # type: ignore[arg-type]
    return model
