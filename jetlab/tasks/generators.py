"""Systems that generate jets, by name: what each trains, in which stages, and which share of the compute each has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from jetlab.errors import JetLabError
from jetlab.objectives import FlowMatching
from jetlab.tasks.finetune import backbone_of
from jetlab.tasks.jepa import train_jepa
from jetlab.tasks.jetflow import train_jetflow
from jetlab.tasks.omnijet import train_omnijet
from jetlab.tasks.token_writer import train_token_writer

if TYPE_CHECKING:
    from torch import nn

    from jetlab.jets import Jets
    from jetlab.models.jepa_encoder import JetEncoder

__all__ = ["PROMPTS", "SYSTEMS", "Sitting", "System", "train_system"]

PROMPTS = "prompts"
"""Stage of the model of whole jets that every system is asked with; all have equally many steps of it."""


@dataclass(frozen=True)
class Sitting:
    """What a training is done with.

    Parameters
    ----------
    train, valid : Jets
        Labelled jets with the same class list.
    batch_size : int
    lr : float
        Highest learning rate of encoders and of flows; OmniJet-alpha has its own.
    masked : float
        Weight of guessing hidden particles beside JEPA, see `jetlab.tasks.jepa.train_jepa`.
    seed : int
    out : Path, optional
        Folder for checkpoints.
    progress, stop
        As for `jetlab.fit`.
    """

    train: Jets
    valid: Jets
    batch_size: int = 64
    lr: float = 1e-3
    masked: float = 0.0
    seed: int = 0
    out: Path | None = None
    progress: bool | Callable[[int, int], None] = True
    stop: Callable[[], bool] | None = None


@dataclass(frozen=True)
class System:
    """A system that generates jets.

    Parameters
    ----------
    name : str
        What it is called in tables.
    stages : tuple of str
        In the order in which steps are taken.
    shares : mapping
        Of the processor time, for each stage but `PROMPTS`.
    """

    name: str
    stages: tuple[str, ...]
    shares: Mapping[str, float]


SYSTEMS: dict[str, System] = {
    "gpt": System(
        "OmniJet-α: tokens, GPT", ("tokenizer", PROMPTS, "generator"), {"tokenizer": 0.25, "generator": 0.75}
    ),
    "pet2": System("OmniLearned: PET2, flow", (PROMPTS, "network"), {"network": 1.0}),
    "jepa-flow": System("JEPA encoder, pretrained, flow", ("jepa", PROMPTS, "network"), {"jepa": 0.5, "network": 0.5}),
    "jepa-tokens": System(
        "JEPA encoder, pretrained, tokens", ("jepa", PROMPTS, "writer"), {"jepa": 0.5, "writer": 0.5}
    ),
    "flow": System("JEPA encoder, new, flow", (PROMPTS, "network"), {"network": 1.0}),
    "tokens": System("JEPA encoder, new, tokens", (PROMPTS, "writer"), {"writer": 1.0}),
}
"""The systems, all of the preset "tiny". Pretrained ones spend half of the time on pretraining without labels."""


def train_system(name: str, steps: Mapping[str, int], sitting: Sitting) -> nn.Module | None:
    """Train one of `SYSTEMS`, told the class of jets.

    Parameters
    ----------
    name : str
    steps : mapping
        Of each of its stages.
    sitting : Sitting

    Returns
    -------
    torch.nn.Module or None
        What `jetlab.generate` takes; None if stopped.

    Raises
    ------
    JetLabError
        If the system is unknown.
    """
    if name not in SYSTEMS:
        msg = f"unknown system {name!r}; expected one of {', '.join(SYSTEMS)}"
        raise JetLabError(msg)
    if name == "gpt":
        return _omnijet(steps, sitting)
    start: JetEncoder | None = None
    if "jepa" in steps:
        jepa = train_jepa(
            sitting.train, sitting.valid, masked=sitting.masked, steps=steps["jepa"], batch_size=sitting.batch_size,
            lr=sitting.lr, device="cpu", seed=sitting.seed, out=_place(sitting, "jepa"), progress=sitting.progress,
            stop=sitting.stop,
        )  # fmt: skip
        if not jepa.run.finished:
            return None
        start = cast("JetEncoder", backbone_of(jepa.model))
    if "writer" in steps:
        written = train_token_writer(
            sitting.train, sitting.valid, start=start, prompt_steps=steps[PROMPTS], steps=steps["writer"],
            batch_size=sitting.batch_size, lr=sitting.lr, device="cpu", seed=sitting.seed,
            out=_place(sitting, "writer"), progress=sitting.progress, stop=sitting.stop,
        )  # fmt: skip
        return written.model if written is not None and written.writer.finished else None
    flown = train_jetflow(
        sitting.train, sitting.valid, network="omnilearned" if name == "pet2" else "jepa", start=start,
        objective=FlowMatching(classes=False, mean_over="particles", unit="noise"), prompt_steps=steps[PROMPTS],
        steps=steps["network"], batch_size=sitting.batch_size, lr=sitting.lr, device="cpu", seed=sitting.seed,
        out=_place(sitting, "flow"), progress=sitting.progress, stop=sitting.stop,
    )  # fmt: skip
    return flown.model if flown is not None and flown.particles.finished else None


def _omnijet(steps: Mapping[str, int], sitting: Sitting) -> nn.Module | None:
    found = train_omnijet(
        sitting.train, sitting.valid, out=_place(sitting, "omnijet"), tokenizer_steps=steps["tokenizer"],
        prompt_steps=steps[PROMPTS], generator_steps=steps["generator"], batch_size=sitting.batch_size, device="cpu",
        seed=sitting.seed, progress=sitting.progress, stop=sitting.stop,
    )  # fmt: skip
    return found.model if found is not None and found.generator.finished else None


def _place(sitting: Sitting, stage: str) -> Path | None:
    return None if sitting.out is None else sitting.out / stage
