"""Train an OmniJet-alpha from labelled jets: tokenizer, prompt model, token generator, each stage resumable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from jetlab.batches import ParticleSet
from jetlab.errors import InvalidJetsError
from jetlab.models.omnijet import OmniJet, OmniJetConfig, code_momenta
from jetlab.models.tokens import TokenSet
from jetlab.objectives import next_token, reconstruction
from jetlab.tasks.prompts import train_prompts
from jetlab.train import Run, fit

if TYPE_CHECKING:
    from jetlab.jets import Jets
    from jetlab.train.engine import Precision

__all__ = ["OmniJetTraining", "token_set", "train_omnijet"]


@dataclass(frozen=True)
class OmniJetTraining:
    """Outcome of `train_omnijet`: the model and the run of each stage."""

    model: OmniJet
    tokenizer: Run
    prompts: Run
    generator: Run


def train_omnijet(
    train: Jets,
    valid: Jets,
    *,
    out: str | Path | None = None,
    preset: str = "tiny",
    tokenizer_steps: int = 4000,
    prompt_steps: int = 2000,
    generator_steps: int = 10_000,
    batch_size: int = 128,
    precision: Precision = "fp32",
    device: str = "auto",
    seed: int = 0,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> OmniJetTraining | None:
    """Train the three parts of an OmniJet-alpha one after the other (arXiv:2403.05618; prompts are ours).

    Parameters
    ----------
    train, valid : Jets
        Labelled jets with the same class list.
    out : str or Path, optional
        Folder for checkpoints; the same call continues a training that was interrupted in any stage.
    preset : str
        Sizes, see `jetlab.models.omnijet.OmniJetConfig.preset`.
    tokenizer_steps, prompt_steps, generator_steps : int
        Length of each stage in steps of `batch_size` jets (20 times as many for the prompt model).
    batch_size : int
        Jets in a step.
    precision : {"fp32", "bf16"}
        Of tokenizer and generator training.
    device : str
        "auto" takes a GPU if there is one.
    seed : int
        Of weights, order and random numbers.
    progress, stop
        As for `jetlab.fit`.

    Returns
    -------
    OmniJetTraining or None
        None if stopped before the last stage was begun.

    Raises
    ------
    InvalidJetsError
        If the jets carry no labels or their class lists differ.
    """
    if train.label is None or valid.label is None or train.classes != valid.classes:
        msg = "training and validation jets must be labelled with the same classes"
        raise InvalidJetsError(msg)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = OmniJet(OmniJetConfig.preset(preset, train.classes))
    folder = None if out is None else Path(out)

    def place(stage: str) -> Path | None:
        return None if folder is None else folder / stage

    recipe = model.tokenizer.config.recipe
    tokenizer_run = fit(
        model.tokenizer,
        reconstruction,
        ParticleSet(train, recipe),
        ParticleSet(valid, recipe),
        steps=tokenizer_steps,
        batch_size=batch_size,
        lr=2e-3,
        schedule="wsd",
        precision=precision,
        device=device,
        seed=seed,
        out=place("tokenizer"),
        progress=progress,
        title="tokenizer (1 of 3)",
        stop=stop,
    )
    if not tokenizer_run.finished:
        return None
    prompt_run = train_prompts(
        model.prompts,
        train,
        valid,
        steps=prompt_steps,
        batch_size=20 * batch_size,
        device=device,
        seed=seed,
        out=place("prompts"),
        title="prompts (2 of 3)",
        progress=progress,
        stop=stop,
    )
    if not prompt_run.finished:
        return None
    generator_run = fit(
        model.generator,
        next_token,
        token_set(model, train, learn_momenta=True),
        token_set(model, valid),
        steps=generator_steps,
        batch_size=batch_size,
        optimizer="muon",
        lr=1e-3,
        schedule="wsd",
        ema=0.999,
        precision=precision,
        device=device,
        seed=seed,
        out=place("generator"),
        progress=progress,
        title="generator (3 of 3)",
        stop=stop,
    )
    return OmniJetTraining(model, tokenizer_run, prompt_run, generator_run)


def token_set(model: OmniJet, jets: Jets, *, learn_momenta: bool = False) -> TokenSet:
    """Token sequences of jets with the prompts that belong to them.

    The prompt's pT and mass are those of the jet that the tokens decode to, not of the original one: asked for a true
    mass, the generator then gives jets of that mass after decoding, whatever the tokens lose.

    Parameters
    ----------
    model : OmniJet
        With a trained tokenizer.
    jets : Jets
        Labelled jets.
    learn_momenta : bool
        Also set the generator's table of what each code stands for from these jets.
    """
    tokens = model.tokenizer.encode(jets)
    x = model.tokenizer.decode_inputs(tokens)
    if learn_momenta:
        model.generator.momenta.copy_(code_momenta(x, tokens.codes, model.tokenizer, model.vocabulary))
    decoded = model.tokenizer.config.recipe.inverse(x, tokens.offsets)
    return TokenSet(tokens, pt=decoded.pt, mass=decoded.mass)
