"""Train the token generator of an OmniJet-alpha on the codes of a trained tokenizer, resumable."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import torch

from jetlab.batches import ParticleSet
from jetlab.errors import InvalidJetsError, JetLabError
from jetlab.models.alpha import OmniJetAlpha, OmniJetAlphaConfig, mean_inputs
from jetlab.models.tokenizers import VQVAE, BinnedTokenizer
from jetlab.models.tokens import TokenSet
from jetlab.objectives import masked_particles, next_token, next_token_and_masked
from jetlab.train import Run, fit

if TYPE_CHECKING:
    from torch import nn

    from jetlab.jets import Jets
    from jetlab.train.engine import Precision
    from jetlab.train.optimizers import OptimizerName

__all__ = ["AlphaObjective", "alpha_token_set", "tokenizer_of", "train_alpha"]

AlphaObjective = Literal["next", "masked", "joint"]

OBJECTIVES = {"next": next_token, "masked": masked_particles, "joint": next_token_and_masked}


def train_alpha(
    train: Jets,
    valid: Jets,
    *,
    tokenizer: nn.Module | str | Path,
    preset: str = "tiny",
    labels: bool = True,
    objective: AlphaObjective = "next",
    steps: int = 10_000,
    batch_size: int = 128,
    optimizer: OptimizerName = "muon",
    lr: float = 1e-3,
    precision: Precision = "fp32",
    device: str = "auto",
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> tuple[OmniJetAlpha, Run]:
    """Train an OmniJet-alpha (arXiv:2403.05618) or a modern form of it on jets.

    Parameters
    ----------
    train, valid : Jets
        Jets to learn from, and jets to watch.
    tokenizer : Tokenizer, OmniJet, OmniJetAlpha, str or Path
        A trained tokenizer, a model that has one, or the name or folder of either. The model keeps a copy that is not
        trained any further.
    preset : str
        Sizes, see `jetlab.models.gpt.GPTConfig.preset`. The modern ones read continuous inputs.
    labels : bool
        Whether the model can be asked for the classes of the jets afterwards, or learns their mixture.
    objective : {"next", "masked", "joint"}
        Predict the next token; predict hidden constituents from all others, which prepares for other tasks and does
        not learn to generate; or both. The last two need a modern preset.
    steps : int
        Length of the training in steps of `batch_size` jets.
    batch_size : int
        Jets in a step.
    optimizer, lr
        As for `jetlab.fit`.
    precision : {"fp32", "bf16"}
        Of the network.
    device : str
        "auto" takes a GPU if there is one.
    seed : int
        Of weights, order and random numbers.
    out : str or Path, optional
        Folder for checkpoints; the same call continues a training that was interrupted.
    progress, stop
        As for `jetlab.fit`.

    Returns
    -------
    model : OmniJetAlpha
        In evaluation mode.
    run : Run
        Unfinished if the training was stopped.

    Raises
    ------
    InvalidJetsError
        If classes are to be asked for, and the jets carry no labels or their class lists differ.
    JetLabError
        If `tokenizer` is none and has none, or the preset does not serve the objective.
    """
    if labels and (train.label is None or valid.label is None or train.classes != valid.classes):
        msg = "training and validation jets must be labelled with the same classes, or give labels=False"
        raise InvalidJetsError(msg)
    part = copy.deepcopy(tokenizer_of(tokenizer)).requires_grad_(requires_grad=False).eval()
    config = OmniJetAlphaConfig.preset(preset, part.config, classes=train.classes if labels else ())
    _check_objective(objective, preset, masked=config.gpt.masked)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = OmniJetAlpha(config)
    model.use(part)
    run = fit(
        model,
        OBJECTIVES[objective],
        alpha_token_set(model, train, learn_means=True),
        alpha_token_set(model, valid),
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=lr,
        schedule="wsd",
        ema=0.999,
        precision=precision,
        device=device,
        seed=seed,
        out=out,
        progress=progress,
        title="generator",
        stop=stop,
    )
    return model, run


def alpha_token_set(model: OmniJetAlpha, jets: Jets, *, learn_means: bool = False) -> TokenSet:
    """Token sequences of jets, with the continuous inputs and labels that the model reads.

    Parameters
    ----------
    model : OmniJetAlpha
        With a trained tokenizer.
    jets : Jets
    learn_means : bool
        Also set the table of what each code stands for, which takes the place of continuous inputs in generation,
        from these jets.
    """
    if model.tokenizer is None:
        msg = "this model came without its tokenizer; give it one: model.use(tokenizer)"
        raise JetLabError(msg)
    tokens = model.tokenizer.encode(jets)
    if not model.config.gpt.features:
        return TokenSet(tokens)
    x = ParticleSet(jets, model.tokenizer.recipe).features.x
    if learn_means:
        model.means.copy_(mean_inputs(x, tokens.codes, model.vocabulary))
    return TokenSet(tokens, x=x)


def tokenizer_of(model: nn.Module | str | Path) -> VQVAE | BinnedTokenizer:
    """Find the tokenizer in what is one or has one.

    Parameters
    ----------
    model : torch.nn.Module, str or Path
        A tokenizer, a model with a ``tokenizer``, or the name or folder of either.

    Raises
    ------
    JetLabError
        If there is none.
    """
    if isinstance(model, str | Path):
        from jetlab.zoo import from_pretrained

        model = from_pretrained(model)
    found = getattr(model, "tokenizer", model)
    if not isinstance(found, VQVAE | BinnedTokenizer):
        msg = (
            f"expected a trained tokenizer or a model that has one, found {type(model).__name__}; "
            "omnijet-tiny has one, and jetlab train tokenizer makes one"
        )
        raise JetLabError(msg)
    return found


def _check_objective(objective: str, preset: str, *, masked: bool) -> None:
    if objective not in get_args(AlphaObjective):
        msg = f"objective is {objective!r}, expected one of {', '.join(OBJECTIVES)}"
        raise JetLabError(msg)
    if objective != "next" and not masked:
        msg = f"preset {preset!r} has nothing in place of hidden constituents; take 'modern' or 'modern-tiny'"
        raise JetLabError(msg)
