"""``jetlab train omnilearned``: one network that classifies jets and generates them from noise."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from jetlab.cli._card import jetflow_card, save_curves
from jetlab.cli._options import Seed
from jetlab.cli._terminal import announce, next_command, wrote
from jetlab.cli._training import (
    AtMost,
    Data,
    Device,
    HeldOut,
    ModelFolder,
    Numbers,
    Only,
    Precision,
    interrupted,
    load,
    origin,
    pretrained_encoder,
    show,
)

if TYPE_CHECKING:
    from jetlab.tasks.jetflow import JetFlowTraining
    from jetlab.train import Run

__all__ = ["omnilearned"]


class Preset(StrEnum):
    """Sizes of the network."""

    tiny = "tiny"
    small = "small"
    medium = "medium"
    large = "large"


class Network(StrEnum):
    """What moves constituents."""

    omnilearned = "omnilearned"
    omnilearn = "omnilearn"
    jepa = "jepa"


TITLES = {Network.omnilearned: "OmniLearned", Network.omnilearn: "OmniLearn", Network.jepa: "JEPA encoder"}


def omnilearned(
    data: Data,
    *,
    out: ModelFolder,
    classes: Only = None,
    n: AtMost = None,
    preset: Annotated[
        Preset, typer.Option(help="Sizes; medium is not of omnilearn, large only of omnilearned.")
    ] = Preset.tiny,
    network: Annotated[
        Network,
        typer.Option(help="PET2 with flow matching, the PET of OmniLearn with diffusion, or a JEPA encoder with flow."),
    ] = Network.omnilearned,
    start: Annotated[
        str | None, typer.Option(help="Pretrained model whose encoder the network jepa begins with: a name or folder.")
    ] = None,
    contrastive: Annotated[
        bool, typer.Option("--contrastive", help="Also recognise each jet in its noisy form.")
    ] = False,
    prompt_steps: Annotated[int, typer.Option(min=1, help="Steps of the model of whole jets.")] = 2000,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the network.")] = 10_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Jets in a step.")] = 128,
    lr: Annotated[float, typer.Option(min=0.0, help="Highest learning rate.")] = 1e-3,
    precision: Precision = Numbers.fp32,
    device: Device = "auto",
    held_out: HeldOut = None,
    seed: Seed = 0,
) -> None:
    """Train an OmniLearned, or another network like it: classes and generation at once, told the kinematics of the jet.

    Ctrl-C ends it after the present step; the same command goes on from there to the same numbers.
    """
    from jetlab.objectives import FlowMatching
    from jetlab.tasks.jetflow import train_jetflow
    from jetlab.zoo import save_pretrained

    train, valid = load(data, n=n, classes=classes, held_out=held_out, seed=seed)
    announce(
        f"Training {TITLES[network]} ({preset.value}) on {len(train):,} jets, watched on {len(valid):,} (seed {seed})"
    )
    training = train_jetflow(
        train,
        valid,
        preset=preset.value,
        network=network.value,
        start=pretrained_encoder(start),
        objective=FlowMatching(contrastive=True, mean_over="particles", unit="noise") if contrastive else None,
        prompt_steps=prompt_steps,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        precision=precision.value,
        device=device,
        seed=seed,
        out=out,
        progress=True,
    )
    if training is None or not training.particles.finished:
        interrupted(out)
    runs = _runs(training)
    show(runs)
    provenance = {
        "description": f"{TITLES[network]} in small: classifies jets, and generates jets of a class asked for.",
        "task": "generation",
        "classes": list(train.class_counts()),
        **origin(runs, train, valid, seed=seed),
    }
    card = jetflow_card("model", training.model, provenance)
    folder = save_pretrained(training.model, out / "model", card=card, provenance=provenance, precision="fp16")
    save_curves(folder, runs)
    wrote(folder)
    next_command(f"jetlab generate --model {folder} --out generated.parquet")


def _runs(training: JetFlowTraining) -> dict[str, Run]:
    return {"prompts": training.prompts, "particles": training.particles}
