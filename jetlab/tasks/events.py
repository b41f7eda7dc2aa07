"""Classify events of several jets, from few labels, on an encoder of jets that was pretrained or that knows nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from jetlab.errors import JetLabError
from jetlab.models.event_encoder import EventEncoder, EventEncoderConfig
from jetlab.models.jepa_encoder import JetEncoder
from jetlab.models.tagger import Tagger
from jetlab.tasks.finetune import FROZEN, Learning, Mode, Outcome, backbone_of, fine_tune
from jetlab.tasks.tagging import classify

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from torch import nn

    from jetlab.jets import Events

__all__ = ["classify_events", "event_encoder_of", "fine_tune_events", "fit_events"]


def event_encoder_of(model: nn.Module, *, preset: str = "tiny", n_jets: int = 4, seed: int = 0) -> EventEncoder:
    """The encoder of events that a pretrained model brings along, or a new one on its encoder of jets; a copy.

    Parameters
    ----------
    model : torch.nn.Module
        What `jetlab.tasks.finetune.backbone_of` takes, if the backbone is a `JetEncoder` or an `EventEncoder`.
    preset, n_jets
        As for `jetlab.models.event_encoder.EventEncoderConfig.preset`; without effect on one that is brought along.
    seed : int
        Of the weights that are drawn.

    Raises
    ------
    JetLabError
        If the backbone is another.
    """
    backbone = backbone_of(model)
    if isinstance(backbone, EventEncoder):
        return backbone
    if not isinstance(backbone, JetEncoder):
        msg = (
            f"events are read on a JetEncoder, but the backbone of a {type(model).__name__} is a "
            f"{type(backbone).__name__}; give a Jepa, an EventJepa, or another model on a JetEncoder"
        )
        raise JetLabError(msg)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return EventEncoder.on(backbone, preset=preset, n_jets=n_jets)


def fine_tune_events(
    model: nn.Module,
    train: Events,
    valid: Events,
    *,
    classes: Sequence[str] | None = None,
    mode: Mode = "fine-tuned",
    preset: str = "tiny",
    n_jets: int = 4,
    head: str = "mlp",
    hidden: tuple[int, ...] = (128,),
    learning: Learning,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> tuple[Tagger, Outcome]:
    """Make a tagger of events of a model that was pretrained on jets, or on events.

    Parameters
    ----------
    model : torch.nn.Module
        As for `event_encoder_of`; it is left as it is.
    train, valid : Events
        Labelled events to learn from, and to say when to end; those of other classes are left out.
    classes : sequence of str, optional
        At least two, in the order of the tagger's outputs; by default those of `train`.
    mode : {"scratch", "linear", "frozen", "fine-tuned"}
        As for `jetlab.tasks.fine_tune`. If the model knows single jets only, "linear" and "frozen" keep what it makes
        of those, and the transformer over jets learns together with the head.
    preset, n_jets
        As for `event_encoder_of`.
    head, hidden
        As in `jetlab.models.tagger.TaggerConfig`; without effect in the mode "linear".
    learning : Learning
        The learning rate of the backbone is that of all that encodes events.
    seed, out, progress, stop
        As for `jetlab.fit`.

    Returns
    -------
    tagger : Tagger
        On an `EventEncoder`.
    outcome : Outcome

    Raises
    ------
    JetLabError
        If the model has no backbone that reads jets or events as needed, or there is no such mode.
    InvalidJetsError
        If a class has no events.
    """
    encoder = event_encoder_of(model, preset=preset, n_jets=n_jets, seed=seed)
    new = not isinstance(backbone_of(model), EventEncoder)
    if new and mode in FROZEN:
        encoder.jet.requires_grad_(requires_grad=False)
        head, hidden = ("mlp", ()) if mode == "linear" else (head, hidden)
        mode = "fine-tuned"
    return fine_tune(
        encoder,
        train,
        valid,
        classes=train.classes if classes is None else classes,
        mode=mode,
        head=head,
        hidden=hidden,
        learning=learning,
        seed=seed,
        out=out,
        progress=progress,
        stop=stop,
    )


def fit_events(
    train: Events,
    valid: Events,
    *,
    classes: Sequence[str] | None = None,
    preset: str = "tiny",
    n_jets: int = 4,
    config: EventEncoderConfig | None = None,
    head: str = "mlp",
    hidden: tuple[int, ...] = (128,),
    learning: Learning,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> tuple[Tagger, Outcome]:
    """Train a tagger of events that begins with random weights.

    Parameters
    ----------
    train, valid, classes, preset, n_jets, head, hidden, learning, seed, out, progress, stop
        As for `fine_tune_events`.
    config : EventEncoderConfig, optional
        In place of the preset.

    Returns
    -------
    tagger : Tagger
    outcome : Outcome
    """
    untrained = EventEncoder(config or EventEncoderConfig.preset(preset, n_jets=n_jets))
    return fine_tune_events(
        untrained,
        train,
        valid,
        classes=classes,
        mode="scratch",
        head=head,
        hidden=hidden,
        learning=learning,
        seed=seed,
        out=out,
        progress=progress,
        stop=stop,
    )


def classify_events(
    tagger: nn.Module,
    events: Events,
    *,
    batch_size: int = 32,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> pd.DataFrame:
    """Give the class probabilities of events.

    Parameters
    ----------
    tagger : Tagger
        On an `EventEncoder`, from `fine_tune_events` or `jetlab.from_pretrained`.
    events : Events
        With the constituent fields that the tagger's recipe needs; labels are not used.
    batch_size, progress, stop
        As for `jetlab.tasks.classify`, in events.

    Returns
    -------
    pandas.DataFrame
        One row an event, one column a class of the tagger; rows add up to one.

    Raises
    ------
    JetLabError
        If the model is no tagger of events, or `batch_size` is no positive number.
    InvalidJetsError
        If there are no events, or none of them has a jet.
    """
    if not (isinstance(tagger, Tagger) and isinstance(tagger.backbone, EventEncoder)):
        found = "Tagger of jets" if isinstance(tagger, Tagger) else type(tagger).__name__
        msg = f"expected a Tagger of events, found a {found}; fine_tune_events makes one"
        raise JetLabError(msg)
    return classify(tagger, events, batch_size=batch_size, progress=progress, stop=stop)
