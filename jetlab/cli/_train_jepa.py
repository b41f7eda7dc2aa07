"""``jetlab train jepa``: an encoder of jets that learns without labels."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jetlab.cli._card import save_curves
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
    show,
)

if TYPE_CHECKING:
    import pandas as pd

    from jetlab.models.jepa import Jepa

__all__ = ["jepa", "jepa_card"]


class Preset(StrEnum):
    """Sizes of the encoder."""

    tiny = "tiny"
    small = "small"
    medium = "medium"


class Tokens(StrEnum):
    """What the encoder attends to."""

    particles = "particles"
    groups = "groups"
    subjets = "subjets"


class Kind(StrEnum):
    """What is hidden together."""

    contiguous = "contiguous"
    random = "random"
    momentum = "momentum"


class Shown(StrEnum):
    """What is shown."""

    contiguous = "contiguous"
    random = "random"
    rest = "rest"


class Norm(StrEnum):
    """Of true encodings."""

    layer = "layer"
    batch = "batch"


class Distance(StrEnum):
    """Between predicted and true encodings."""

    smooth_l1 = "smooth_l1"
    mse = "mse"


def jepa(
    data: Data,
    *,
    out: ModelFolder,
    classes: Only = None,
    n: AtMost = None,
    preset: Annotated[Preset, typer.Option(help="Sizes.")] = Preset.tiny,
    tokens: Annotated[Tokens, typer.Option(help="What the encoder attends to.")] = Tokens.particles,
    physics_bias: Annotated[bool, typer.Option(help="Attention depends on kT, z, distance and mass of pairs.")] = True,
    registers: Annotated[int, typer.Option(min=0, help="Tokens without a place in the jet.")] = 0,
    masks: Annotated[Kind, typer.Option(help="Near tokens are hidden together, or any.")] = Kind.contiguous,
    targets: Annotated[int, typer.Option(min=1, help="Hidden parts of a jet.")] = 4,
    shown: Annotated[Shown, typer.Option(help="Near tokens, any, or all that are not hidden.")] = Shown.contiguous,
    augment: Annotated[bool, typer.Option("--augment", help="Rotate, mirror, shift and smear jets.")] = False,
    distance: Annotated[Distance, typer.Option(help="Between predicted and true encodings.")] = Distance.smooth_l1,
    norm: Annotated[Norm, typer.Option(help="True encodings are normed token by token, or feature by feature.")] = (
        Norm.layer
    ),
    variance: Annotated[float, typer.Option(min=0.0, help="Weight of the spread of features.")] = 0.0,
    covariance: Annotated[float, typer.Option(min=0.0, help="Weight of their independence.")] = 0.0,
    masked: Annotated[float, typer.Option(min=0.0, help="Weight of guessing hidden particles beside it.")] = 0.0,
    probe: Annotated[int, typer.Option(min=0, help="Labelled jets that probes of its encodings learn from.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the training.")] = 10_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Jets in a step.")] = 128,
    lr: Annotated[float, typer.Option(min=0.0, help="Highest learning rate.")] = 1e-3,
    precision: Precision = Numbers.fp32,
    device: Device = "auto",
    held_out: HeldOut = None,
    seed: Seed = 0,
) -> None:
    """Train a HEP-JEPA: an encoder that predicts how hidden parts of a jet are encoded. It does not learn from labels.

    With --probe, a linear and a nearest-neighbour classifier of its encodings, and whether these collapse, are written
    down as it learns: they learn from some labelled jets and are asked about those that are watched.

    Ctrl-C ends it after the present step; the same command goes on from there to the same numbers.
    """
    from jetlab.features.augment import Augmentations
    from jetlab.masking import Masking
    from jetlab.objectives import JEPA
    from jetlab.plots.monitor import training_monitor
    from jetlab.tasks.jepa import train_jepa
    from jetlab.tasks.watching import Probes
    from jetlab.zoo import save_pretrained

    train, valid = load(data, n=n, classes=classes, held_out=held_out, seed=seed)
    announce(f"Training HEP-JEPA ({preset.value}) on {len(train):,} jets, watched on {len(valid):,} (seed {seed})")
    training = train_jepa(
        train,
        valid,
        preset=preset.value,
        tokens=tokens.value,
        physics_bias=physics_bias,
        registers=registers,
        masking=Masking(kind=masks.value, targets=targets, context=shown.value),
        augment=Augmentations() if augment else None,
        masked=masked,
        watch=Probes(train[:: max(1, len(train) // probe)], valid) if probe else None,
        objective=JEPA(distance.value, norm.value, variance, covariance, steps=steps),
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        precision=precision.value,
        device=device,
        seed=seed,
        out=out / "jepa",
        progress=True,
    )
    if not training.run.finished:
        interrupted(out)
    runs = {"jepa": training.run}
    show(runs)
    provenance = {
        "description": "HEP-JEPA in small: an encoder of jets that has learned without labels.",
        "task": "pretraining",
        "classes": list(train.class_counts()),
        **origin(runs, train, valid, seed=seed),
        "masked": masked,
        "probes": _last_probes(training.run.history, labels=probe),
    }
    card = jepa_card("model", training.model, provenance)
    folder = save_pretrained(training.model, out / "model", card=card, provenance=provenance, precision="fp16")
    save_curves(folder, runs)
    if probe:
        training_monitor(training.run.history).savefig(folder / "jepa.png", dpi=60)
    wrote(folder)
    next_command(shlex.join(["jetlab", "train", "tagger", *data, "--model", str(folder), "--out", "my-tagger"]))


def jepa_card(name: str, model: Jepa, provenance: Mapping[str, Any]) -> str:
    """Write the card of a `Jepa` in Markdown.

    Parameters
    ----------
    name : str
        Title of the card.
    model : Jepa
        The trained model.
    provenance : mapping
        Entries as in the ``config.json`` of the model.
    """
    c, masks = model.config.encoder, model.config.masking
    sizes = {part: sum(p.numel() for p in module.parameters()) for part, module in model.named_children()}
    jets, data, loss = provenance["jets"], provenance["data"], provenance["valid_loss"]["jepa"]
    source = ", ".join(f"{key} {data[key]}" for key in ("generator", "detector", "seed") if key in data)
    inputs = ", ".join(f.field if f.function == "identity" else f"{f.function} {f.field}" for f in c.recipe.features)
    low, high = masks.target_share
    return f"""# {name}

HEP-JEPA ([arXiv:2502.03933](https://arxiv.org/abs/2502.03933)) in small: an encoder of jets that has learned, without
labels, to predict how hidden parts of a jet are encoded. The paper's own code, weights and sizes are not public; sizes
and masks are after Point-JEPA ([arXiv:2404.16432](https://arxiv.org/abs/2404.16432)).

```python
import jetlab

model = jetlab.from_pretrained("{name}")
tagger, outcome = jetlab.tasks.fine_tune(model, train, valid, classes=["QCD", "Tbqq"])
```

## What it is

- **Encoder**: {c.depth} blocks of width {c.width} with {c.heads} heads, {sizes["target"]:,} parameters; its tokens are
  {_tokens(model)}; inputs {inputs}; {"with" if c.physics_bias else "without"} a bias of attention from pairs,
  {c.registers} registers. What is kept for use is the running average over the training.
- **Predictor**: {model.config.depth} blocks of width {model.config.width}, {sizes["predictor"]:,} parameters.
- **Masks**: {masks.targets} targets of {low:.0%} to {high:.0%} of the tokens, {masks.kind}; shown is what is
  {masks.context}.
{_beside(provenance.get("masked", 0))}
Weights are kept in half precision.

## How it was trained

```console
{provenance["command"]}
```

Seed {provenance["seed"]}; {jets["train"]:,} jets to learn from and {jets["valid"]:,} to watch ({source});
on {provenance["machine"]}: {provenance["steps"]["jepa"]:,} steps in {provenance["minutes"]["jepa"]:g} minutes. The best
validation loss was {"–" if loss is None else f"{loss:.4g}"}; only trainings of the same kind can be compared by it.
{_told_by_probes(provenance.get("probes", {}), watched=jets["valid"])}
![Loss of the jepa](jepa.png)
"""


def _last_probes(history: pd.DataFrame, *, labels: int) -> dict[str, float]:
    """What was watched last; nothing if nothing was."""
    from jetlab.plots.monitor import MONITORS

    if not labels:
        return {}
    last = history.dropna(subset=[*MONITORS]).iloc[-1]
    return {"labels": labels, **{name: round(float(last[name]), 4) for name in MONITORS}}


def _beside(masked: float) -> str:
    """The second task, if there was one."""
    if not masked:
        return ""
    return f"""- **Beside it**, with weight {masked:g}: guessing hidden particles themselves, of which only the rank in
  pT is known ([arXiv:2409.12589](https://arxiv.org/abs/2409.12589)).
"""


def _told_by_probes(probes: Mapping[str, float], *, watched: int) -> str:
    """What probes made of the encodings, if they were asked."""
    if not probes:
        return ""
    linear, near = probes["linear_probe"], probes["neighbour_probe"]
    return f"""
In the end a linear map of the encodings, learned from {probes["labels"]:,.0f} labelled jets, names the class of
{linear:.1%} of {watched:,} watched jets, and the vote of the 20 nearest of them that of {near:.1%}; the effective
rank of the encodings is {probes["effective_rank"]:.0f}.
"""


def _tokens(model: Jepa) -> str:
    """What the tokens are, in a few words."""
    c = model.config.encoder
    if c.tokens == "particles":
        return "particles"
    if c.tokens == "subjets":
        return f"up to {c.groups} subjets of exclusive kT clustering"
    return f"up to {c.groups} groups of near particles around {c.centres} centres"
