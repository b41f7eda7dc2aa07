"""Fine-tuning: a pretrained backbone, or one that has learned nothing, becomes a tagger."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from jetlab.errors import JetLabError
from jetlab.models.alpha import OmniJetAlpha
from jetlab.models.following import Following
from jetlab.models.jepa_encoder import JetEncoder
from jetlab.models.jetflow import JetFlow
from jetlab.models.omnilearn import OmniLearn
from jetlab.models.omnilearned import OmniLearned
from jetlab.models.reader import JetReader
from jetlab.models.sequences import SequenceBackbone
from jetlab.models.tagger import Tagger
from jetlab.objectives import classification
from jetlab.tasks.labelled import Rows, encoded, labels_among
from jetlab.train import Dataset, Run, fit
from jetlab.train.engine import autocast
from jetlab.train.order import validation_batches

if TYPE_CHECKING:
    from torch import nn

    from jetlab.jets import Events, Jets
    from jetlab.train.engine import Precision

__all__ = [
    "FROZEN",
    "MODES",
    "Learning",
    "Mode",
    "Outcome",
    "backbone_of",
    "fine_tune",
    "fit_tagger",
    "probabilities",
    "tagger_for",
]

Mode = Literal["scratch", "linear", "frozen", "fine-tuned"]

MODES: tuple[Mode, ...] = get_args(Mode)
"""All weights drawn anew; the backbone as pretrained and a linear map of its encoding that learns; the same with the
head asked for; everything learns from the pretrained."""

FROZEN: tuple[Mode, ...] = ("linear", "frozen")
"""Modes in which the backbone stays as it is."""

VALIDATIONS = 20
"""How often the validation loss is looked at in a training that is not ended early."""


# ---- models ---------------------------------------------------------------------------------------------------------


def backbone_of(model: nn.Module) -> nn.Module:
    """The backbone that a pretrained model brings along, as a copy.

    Parameters
    ----------
    model : OmniJetAlpha, JetFlow, OmniLearned, OmniLearn, Jepa, EventJepa, Tagger or backbone
        A backbone has ``config`` and ``encode(batch)``.

    Raises
    ------
    JetLabError
        If the model has none that could be taken over.
    """
    if isinstance(model, OmniJetAlpha):
        return SequenceBackbone.of(model)
    conditions = None
    if isinstance(model, JetFlow):
        conditions = model.config.conditions
        model = model.particles
    if isinstance(model, Following):
        return copy.deepcopy(model.target).requires_grad_()
    if isinstance(encoder := getattr(model, "encoder", None), JetEncoder):
        return copy.deepcopy(encoder).requires_grad_()
    if isinstance(model, OmniLearned) and model.classifier is not None:
        return JetReader.of(model, conditions=conditions)
    backbone = model.backbone if isinstance(model, Tagger) else model
    backbone = model.body if isinstance(model, OmniLearned | OmniLearn) else backbone
    if not (hasattr(backbone, "encode") and hasattr(backbone, "config")):
        msg = (
            f"a {type(model).__name__} cannot be fine-tuned: it has no backbone of its own. "
            "Give an OmniJetAlpha, a JetFlow, an OmniLearned, an OmniLearn, a Jepa, a Tagger, or a backbone"
        )
        raise JetLabError(msg)
    return copy.deepcopy(backbone)


def tagger_for(
    backbone: nn.Module,
    classes: Sequence[str],
    *,
    mode: Mode = "fine-tuned",
    head: str = "mlp",
    hidden: tuple[int, ...] = (128,),
    dropout: float = 0.1,
    seed: int = 0,
) -> Tagger:
    """Put a new head on a copy of a backbone, ready to learn in one of the `MODES`.

    Parameters
    ----------
    backbone : torch.nn.Module
        From `backbone_of`.
    classes : sequence of str
    mode : {"scratch", "linear", "frozen", "fine-tuned"}
    head, hidden, dropout
        As in `jetlab.models.tagger.TaggerConfig`; without effect in the mode "linear".
    seed : int
        Of the weights that are drawn anew.
    """
    if mode not in MODES:
        msg = f"mode is {mode!r}, expected one of {', '.join(MODES)}"
        raise JetLabError(msg)
    if mode == "linear":
        head, hidden, dropout = "mlp", (), 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        start = _untrained(backbone) if mode == "scratch" else copy.deepcopy(backbone)
        tagger = Tagger.on(start, tuple(classes), head=head, hidden=hidden, dropout=dropout)
    outputs: Any = tagger.head.layers
    torch.nn.init.zeros_(outputs[-1].weight)  # sums over particles are large: begin undecided
    if mode in FROZEN:
        tagger.backbone.requires_grad_(requires_grad=False)
    return tagger


def _untrained(backbone: Any) -> nn.Module:
    return backbone.untrained() if hasattr(backbone, "untrained") else type(backbone)(backbone.config)


# ---- training -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Learning:
    """How long and how fast a tagger learns.

    Parameters
    ----------
    steps : int
        Most updates; the learning rate falls to zero over them.
    batch_size : int
    lr : float
        Learning rate of the head.
    backbone_lr : float, optional
        Of the backbone; by default that of the head.
    patience : int, optional
        Training ends after this many of 20 validations without a lower loss; None goes on to the end.
    weight_decay : float
    precision : {"fp32", "bf16"}
    device : str
        "auto" takes a GPU if there is one.
    """

    steps: int
    batch_size: int = 64
    lr: float = 1e-3
    backbone_lr: float | None = None
    patience: int | None = 6
    weight_decay: float = 0.01
    precision: Precision = "fp32"
    device: str = "auto"


@dataclass(frozen=True)
class Outcome:
    """A training of a tagger: its run, processor time [s], and whether it came to its end, planned or early."""

    run: Run
    seconds: float
    complete: bool


def fit_tagger(
    tagger: Tagger,
    train: Dataset,
    valid: Dataset,
    learning: Learning,
    *,
    seed: int = 0,
    out: Path | None = None,
    progress: bool | Callable[[int, int], None] = True,
    title: str = "tagger",
    stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Train a tagger in place and leave the weights of the lowest validation loss in it.

    Parameters
    ----------
    tagger : Tagger
        From `tagger_for`; of a frozen one only the head learns.
    train, valid : Dataset
        Rows to learn from, and rows that say when to end; encodings (`encoded`) where the backbone is frozen.
    learning : Learning
    seed, out, progress, title, stop
        As for `jetlab.fit`.
    """
    every = max(1, learning.steps // VALIDATIONS)
    patience = _Patience(None if learning.patience is None else learning.patience * every)
    asked = _Remembered(stop)
    frozen = not any(p.requires_grad for p in tagger.backbone.parameters())
    slower = None if learning.backbone_lr is None or frozen else {"backbone": learning.backbone_lr / learning.lr}
    began = time.process_time()
    run = fit(
        tagger,
        classification,
        train,
        valid,
        steps=learning.steps,
        batch_size=learning.batch_size,
        lr=learning.lr,
        lr_factors=slower,
        weight_decay=learning.weight_decay,
        precision=learning.precision,
        device=learning.device,
        seed=seed,
        out=out,
        valid_every=every,
        progress=progress,
        title=title,
        stop=lambda: asked() or patience(),
        on_start=patience.watch,
    )
    if run.best_weights is not None:
        run.load_best()
    return Outcome(run, time.process_time() - began, run.finished or (patience() and not asked.answer))


class _Patience:
    """Whether the validation loss has not become lower for so many steps; None waits for ever."""

    def __init__(self, steps: int | None) -> None:
        self.steps = steps
        self._run: Run | None = None

    def watch(self, run: Run) -> None:
        self._run = run

    def __call__(self) -> bool:
        if self.steps is None or self._run is None or self._run.best is None:
            return False
        return self._run.steps - self._run.best["step"] >= self.steps


class _Remembered:
    """A question with its last answer."""

    def __init__(self, ask: Callable[[], bool] | None) -> None:
        self._ask, self.answer = ask, False

    def __call__(self) -> bool:
        self.answer = self._ask is not None and self._ask()
        return self.answer


def probabilities(
    tagger: Tagger, data: Dataset, *, batch_size: int = 128, precision: Precision = "fp32"
) -> npt.NDArray[np.float64]:
    """Class probabilities of all rows, shape ``(n, classes)``."""
    found = np.empty((len(data), len(tagger.classes)))
    device = next(tagger.parameters()).device
    tagger.eval()
    with torch.inference_mode(), autocast(device, precision):
        for rows in validation_batches(data.lengths, batch_size):
            batch: Any = data.batch(rows)
            found[rows] = tagger(batch.to(device)).double().softmax(1).cpu().numpy()
    return found


def fine_tune(
    model: nn.Module,
    train: Jets | Events,
    valid: Jets | Events,
    *,
    classes: Sequence[str],
    mode: Mode = "fine-tuned",
    head: str = "mlp",
    hidden: tuple[int, ...] = (128,),
    learning: Learning,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> tuple[Tagger, Outcome]:
    """Make a tagger of a pretrained model (arXiv:2403.05618: from generation to classification).

    Parameters
    ----------
    model : OmniJetAlpha, Tagger or backbone
        What was pretrained; it is left as it is.
    train, valid : Jets or Events
        Labelled jets to learn from, and to say when to end; those of other classes are left out. Events, if that is
        what the backbone reads; see `jetlab.tasks.fine_tune_events`.
    classes : sequence of str
        At least two, in the order of the tagger's outputs.
    mode : {"scratch", "linear", "frozen", "fine-tuned"}
        Draw all weights anew; keep the backbone and learn a linear map, or the head, on encodings that are computed
        once; learn all.
    head, hidden
        As in `jetlab.models.tagger.TaggerConfig`.
    learning : Learning
    seed, out, progress, stop
        As for `jetlab.fit`.

    Returns
    -------
    tagger : Tagger
    outcome : Outcome

    Raises
    ------
    JetLabError
        If the model has no backbone that could be taken over.
    InvalidJetsError
        If a class has no jets.
    """
    tagger = tagger_for(backbone_of(model), classes, mode=mode, head=head, hidden=hidden, seed=seed)
    sets: list[Dataset] = []
    for jets in (train, valid):
        label = labels_among(jets, classes)
        rows = np.flatnonzero(label >= 0)
        data: Dataset = tagger.prepare(jets[rows])
        sets.append(Rows(encoded(tagger, data) if mode in FROZEN else data, np.arange(len(rows)), label[rows]))
    place = None if out is None else Path(out)
    learn, watch = sets
    outcome = fit_tagger(tagger, learn, watch, learning, seed=seed, out=place, progress=progress, title=mode, stop=stop)
    return tagger, outcome
