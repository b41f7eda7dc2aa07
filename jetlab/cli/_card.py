"""The model card of a training: what the model is, how it came about, how it went."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from jetlab.models.jetflow import JetFlow
    from jetlab.models.omnijet import OmniJet
    from jetlab.train import Run

__all__ = ["jetflow_card", "machine", "omnijet_card", "save_curves", "training_section"]


def machine() -> str:
    """Name what the training ran on, in a few words."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} {platform.machine()} cores, {torch.get_num_threads()} used by the training"


def save_curves(folder: Path, runs: Mapping[str, Run]) -> None:
    """Draw the loss of each stage into ``<stage>.png`` in a folder."""
    from jetlab.plots import training_curves

    for stage, run in runs.items():
        training_curves(run.history).savefig(folder / f"{stage}.png", dpi=70)


def omnijet_card(name: str, model: OmniJet, provenance: Mapping[str, Any]) -> str:
    """Write the card of an OmniJet in Markdown; ``jetlab models measure --write`` adds its quality.

    Parameters
    ----------
    name : str
        Title of the card.
    model : OmniJet
        The trained model.
    provenance : mapping
        Entries as in the ``config.json`` of the model.
    """
    tokenizer, gpt = model.config.tokenizer, model.config.gpt
    return f"""# {name}

OmniJet-α ([arXiv:2403.05618](https://arxiv.org/abs/2403.05618)) in small, conditional on the jet: it generates jets of
the classes {", ".join(model.classes)}.

```python
import jetlab

jets = jetlab.generate("{name}", 1000, classes=["Tbqq"], seed=1)
```

## What it is

- **Tokenizer**: conditional VQ-VAE, {tokenizer.depth} + {tokenizer.depth} NormFormer blocks of width {tokenizer.width},
  {tokenizer.codebook_size:,} codes of width {tokenizer.latent_width}; inputs log pT [GeV] - 1.8, 3 Δη, 3 Δφ; at most
  {tokenizer.recipe.max_particles} constituents, massless, without charge or type.
- **Prompts**: multiplicity, mass and pT of a jet of a class, drawn one after the other from binned distributions.
- **Generator**: GPT of {gpt.depth} blocks of width {gpt.width}. Beyond the paper it sees the prompt and, at every step,
  the running sum of the four-momenta that the codes stand for on average, and codes are read and predicted by vectors
  that are smooth functions of their mean pT, η and φ. Start, stop and padding ids are distinct; padding enters no loss.

Jets come out around the axis η = φ = 0. Weights are kept in half precision.

{training_section(model, provenance)}"""


PAPERS = {
    "omnilearned": "OmniLearned ([arXiv:2510.24066](https://arxiv.org/abs/2510.24066))",
    "omnilearn": "OmniLearn ([arXiv:2404.16091](https://arxiv.org/abs/2404.16091))",
    "jepa": "A JEPA encoder ([arXiv:2502.03933](https://arxiv.org/abs/2502.03933)) with heads as in OmniLearned,",
}

PROCESSES = {"flow": "flow matching", "diffusion": "diffusion with a cosine schedule"}


def jetflow_card(name: str, model: JetFlow, provenance: Mapping[str, Any]) -> str:
    """Write the card of a `JetFlow` in Markdown; ``jetlab models measure --write`` adds its quality.

    Parameters
    ----------
    name : str
        Title of the card.
    model : JetFlow
        The trained model.
    provenance : mapping
        Entries as in the ``config.json`` of the model.
    """
    return f"""# {name}

{PAPERS[model.config.network]} in small: one network that classifies jets and
generates those of the classes {", ".join(model.classes)}.

```python
import jetlab

jets = jetlab.generate("{name}", 1000, classes=["Tbqq"], seed=1, steps=16)
```

## What it is

- **Prompts**: multiplicity, mass and pT of a jet of a class, drawn one after the other from binned distributions.
- **Particles**: {_network(model)}. A head for jets tells their class; a head for particles tells how noise moves
  towards jets of a class, pT, mass and multiplicity, as learned by {PROCESSES[model.config.process]}.

Jets come out around the axis η = φ = 0, of massless constituents without charge or type, at most
{model.max_constituents}. Weights are kept in half precision.

{training_section(model, provenance)}"""


def _network(model: JetFlow) -> str:
    """Sizes and inputs of the network, in a few words."""
    network: Any = model.config.particles
    kind = {"omnilearned": "PET2", "omnilearn": "PET", "jepa": "JEPA encoder"}[model.config.network]
    body = network.encoder if model.config.network == "jepa" else network.body
    near = "" if model.config.network == "jepa" else f", {body.neighbours} neighbours"
    inputs = ", ".join(f.field if f.function == "identity" else f"{f.function} {f.field}" for f in body.recipe.features)
    return f"{kind}, {body.depth} blocks of width {body.width} with {body.heads} heads{near};\n  inputs {inputs}"


def training_section(model: nn.Module, provenance: Mapping[str, Any]) -> str:
    """What cards say about how a model was trained, stage by stage."""
    sizes = {part: sum(p.numel() for p in module.parameters()) for part, module in model.named_children()}
    jets, data = provenance["jets"], provenance["data"]
    origin = ", ".join(f"{key} {data[key]}" for key in ("generator", "detector", "seed") if key in data)
    stages = "\n".join(
        f"| {stage} | {sizes[stage]:,} | {steps:,} | {provenance['minutes'][stage]:g} | {_loss(provenance, stage)} |"
        for stage, steps in provenance["steps"].items()
    )
    curves = "\n\n".join(f"![Loss of the {stage}]({stage}.png)" for stage in provenance["steps"])
    return f"""## How it was trained

```console
{provenance["command"]}
```

Seed {provenance["seed"]}; {jets["train"]:,} jets to learn from and {jets["valid"]:,} to watch ({origin});
on {provenance["machine"]}.

| part | parameters | steps | minutes | validation loss |
|---|---|---|---|---|
{stages}

{curves}
"""


def _loss(provenance: Mapping[str, Any], stage: str) -> str:
    loss = provenance["valid_loss"][stage]
    return "–" if loss is None else f"{loss:.4g}"
