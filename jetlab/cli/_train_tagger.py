"""``jetlab train tagger``: a pretrained model learns to tell classes apart."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jetlab.cli._card import save_curves
from jetlab.cli._options import Seed, class_names
from jetlab.cli._study_transfer import HIDDEN
from jetlab.cli._terminal import announce, next_command, wrote
from jetlab.cli._training import (
    AtMost,
    Data,
    Device,
    HeldOut,
    ModelFolder,
    Numbers,
    Precision,
    interrupted,
    origin,
    show,
    split,
)

if TYPE_CHECKING:
    from jetlab.jets import Jets
    from jetlab.models.tagger import Tagger

__all__ = ["tagger", "tagger_card"]


class Mode(StrEnum):
    """What learns."""

    scratch = "scratch"
    linear = "linear"
    frozen = "frozen"
    fine_tuned = "fine-tuned"


def tagger(
    data: Data,
    *,
    model: Annotated[str, typer.Option("--model", "-m", help="Name or folder of a pretrained model.")],
    out: ModelFolder,
    classes: Annotated[str, typer.Option("--classes", "-c", help="Classes to tell apart.")] = "QCD,Tbqq",
    n: AtMost = None,
    mode: Annotated[Mode, typer.Option(help="What learns: only a linear map or the head, or all.")] = Mode.fine_tuned,
    head: Annotated[str, typer.Option(help="mlp, summation or class-attention.")] = "mlp",
    steps: Annotated[int, typer.Option(min=1, help="Most steps; it ends early if it no longer helps.")] = 2000,
    batch_size: Annotated[int, typer.Option(min=1, help="Jets in a step.")] = 64,
    lr: Annotated[float, typer.Option(min=1e-9, help="Learning rate of the head.")] = 1e-3,
    backbone_lr: Annotated[float, typer.Option(min=1e-9, help="Learning rate of the pretrained part.")] = 3e-4,
    test: Annotated[
        str | None,
        typer.Option(help="Jets that nothing has seen, to measure the tagger: a file, a folder, or 'sample'."),
    ] = None,
    precision: Precision = Numbers.fp32,
    device: Device = "auto",
    held_out: HeldOut = None,
    seed: Seed = 0,
) -> None:
    """Fine-tune a pretrained model to a tagger of some classes.

    Ctrl-C ends it after the present step; the same command goes on from there to the same numbers.
    """
    from jetlab.data import load_jets
    from jetlab.tasks.finetune import Learning, fine_tune
    from jetlab.zoo import from_pretrained, save_pretrained

    names = class_names(classes)
    jets = load_jets(data if len(data) > 1 else data[0], n=n, classes=names, seed=seed)
    unseen = None if test is None else load_jets(test, classes=names)
    train, valid = split(jets, held_out)
    announce(f"Training a tagger of {', '.join(names)} on {len(train):,} jets, watched on {len(valid):,} (seed {seed})")
    learning = Learning(
        steps,
        batch_size,
        lr=lr,
        backbone_lr=lr if mode is Mode.scratch else backbone_lr,
        precision=precision.value,
        device=device,
    )
    made, outcome = fine_tune(
        from_pretrained(model),
        train,
        valid,
        classes=names,
        mode=mode.value,
        head=head,
        hidden=HIDDEN if head == "mlp" else (),
        learning=learning,
        seed=seed,
        out=out / "tagger",
        progress=True,
    )
    if not outcome.complete:
        interrupted(out)
    show({"tagger": outcome.run})
    provenance = {
        "description": f"Tagger of {', '.join(names)}, {mode.value} from {Path(model).name}.",
        "task": "tagging",
        "classes": list(names),
        "pretrained": model,
        "mode": mode.value,
        **origin({"tagger": outcome.run}, train, valid, seed=seed),
    }
    measured = None if unseen is None else measures(made, unseen)
    card = tagger_card("model", made, provenance, measured)
    folder = save_pretrained(made, out / "model", card=card, provenance=provenance, precision="fp16")
    save_curves(folder, {"tagger": outcome.run})
    wrote(folder)
    next_command(f"jetlab models show {folder}")


def measures(tagger: Tagger, jets: Jets) -> dict[str, Any]:
    """How well a tagger tells its classes apart on jets, and on how many."""
    from jetlab.evaluate import separation
    from jetlab.tasks import classify
    from jetlab.tasks.labelled import labels_among

    names = tagger.classes
    background = "QCD" if "QCD" in names else names[0]
    found = separation(classify(tagger, jets), labels_among(jets, names), background=background)
    return found | {"jets": len(jets), "background": background}


def tagger_card(name: str, tagger: Tagger, provenance: Mapping[str, Any], measured: Mapping[str, Any] | None) -> str:
    """Write the card of a tagger in Markdown.

    Parameters
    ----------
    name : str
        Title of the card.
    tagger : Tagger
        The trained model.
    provenance : mapping
        Entries as in the ``config.json`` of the model.
    measured : mapping, optional
        From `measures`.
    """
    from jetlab.vocabulary import CLASSES, class_named

    symbols = ", ".join(class_named(c).symbol if c in CLASSES else c for c in tagger.classes)
    sizes = {part: sum(p.numel() for p in module.parameters()) for part, module in tagger.named_children()}
    jets, data, steps = provenance["jets"], provenance["data"], provenance["steps"]["tagger"]
    source = ", ".join(f"{key} {data[key]}" for key in ("generator", "detector", "seed") if key in data)
    card = f"""# {name}

A tagger of {symbols}: {provenance["mode"]} from {provenance["pretrained"]}, an OmniJet-α
([arXiv:2403.05618](https://arxiv.org/abs/2403.05618)) that was pretrained to generate jets.

```python
import jetlab
from jetlab.tasks import classify

probabilities = classify(jetlab.from_pretrained("{name}"), jetlab.load_jets("sample"))
```

## What it is

- **Backbone** (`{tagger.config.backbone_name}`): {sizes["backbone"]:,} parameters, its tokenizer included.
- **Head** (`{tagger.config.head}`): {sizes["head"]:,} parameters.

Weights are kept in half precision.

## How it was trained

```console
{provenance["command"]}
```

Seed {provenance["seed"]}; {jets["train"]:,} jets to learn from and {jets["valid"]:,} to watch ({source});
on {provenance["machine"]}: {steps:,} steps in {provenance["minutes"]["tagger"]:g} minutes.

![Loss of the tagger](tagger.png)
"""
    return card if measured is None else f"{card}\n## Quality\n\n{_quality(measured)}\n"


def _quality(measured: Mapping[str, Any]) -> str:
    from jetlab.evaluate import with_uncertainty

    def cell(measure: str) -> str:
        return with_uncertainty(measured[measure], measured[f"{measure}_err"])

    return f"""{measured["jets"]:,} test jets, from whose number come the uncertainties. Rejections are of
{measured["background"]}.

| accuracy | AUC | 1/ε_B at ε_S = 50 % | 1/ε_B at ε_S = 30 % |
|---|---|---|---|
| {cell("accuracy")} | {cell("auc")} | {cell("rejection_50")} | {cell("rejection_30")} |"""
