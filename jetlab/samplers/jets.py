"""Jets from a model: what is asked for, codes, and constituents, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from jetlab.errors import JetLabError
from jetlab.jets import Jets, concatenate
from jetlab.models.alpha import OmniJetAlpha
from jetlab.models.omnijet import OmniJet
from jetlab.models.tokens import TokenSequences
from jetlab.samplers.choice import Choice
from jetlab.samplers.tokens import write_tokens
from jetlab.vocabulary import CLASSES

if TYPE_CHECKING:
    from torch import nn

__all__ = ["generate", "stream"]


def generate(
    model: nn.Module | str,
    n: int,
    *,
    classes: str | Sequence[str] | None = None,
    pt: float | None = None,
    mass: float | None = None,
    multiplicity: int | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop_bias: float = 0.0,
    min_constituents: int = 1,
    max_constituents: int | None = None,
    batch_size: int = 100,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> Jets:
    """Generate jets.

    Parameters
    ----------
    model : OmniJet, OmniJetAlpha or str
        A model, or the name or folder of one for `jetlab.from_pretrained`.
    n : int
        Number of jets in all, shared equally among the classes.
    classes : str or sequence of str, optional
        Classes to generate; all that the model knows if not given.
    pt, mass : float, optional
        Ask for jets of this pT and mass [GeV], for models that can be asked so. What is not given is drawn from the
        jets of the class that have what is given.
    multiplicity : int, optional
        Ask for jets of this number of constituents.
    seed : int
        The same seed gives the same jets on the same machine and batch size.
    temperature : float
        Above 1 flattens the token probabilities, below 1 sharpens them; 0 takes the most probable token.
    top_k : int, optional
        Draw only from this many most probable tokens.
    top_p : float, optional
        Draw only from the most probable tokens that together have at least this probability.
    stop_bias : float
        Added to the logit of the end of a jet: above 0 makes shorter jets, below 0 longer ones.
    min_constituents, max_constituents : int, optional
        Bounds on the length of jets, whatever the model would do.
    batch_size : int
        Jets generated at once.
    progress : bool or callable
        True draws a bar; a callable gets (jets done, jets in all).
    stop : callable, optional
        Asked before every token; generation ends when it returns True and the finished batches are returned.

    Returns
    -------
    Jets
        Around the axis eta = phi = 0, with massless constituents and provenance in ``meta``; with labels if the model
        can be asked for classes.

    Raises
    ------
    JetLabError
        If an option makes no sense or cannot be asked of this model, or if stopped before the first batch was finished.
    """
    report, close = _reporter(progress, n)
    done: list[Jets] = []
    try:
        for jets in stream(
            model,
            n,
            classes=classes,
            pt=pt,
            mass=mass,
            multiplicity=multiplicity,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            stop_bias=stop_bias,
            min_constituents=min_constituents,
            max_constituents=max_constituents,
            batch_size=batch_size,
            stop=stop,
        ):
            done.append(jets)
            report(sum(map(len, done)), n)
    finally:
        close()
    if not done:
        msg = (
            "generation was stopped before the first batch of jets was finished; let it run longer or lower batch_size"
        )
        raise JetLabError(msg)
    jets = concatenate(done)
    return jets[np.argsort(jets.label, kind="stable")] if jets.label is not None else jets


def stream(
    model: nn.Module | str,
    n: int,
    *,
    classes: str | Sequence[str] | None = None,
    pt: float | None = None,
    mass: float | None = None,
    multiplicity: int | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop_bias: float = 0.0,
    min_constituents: int = 1,
    max_constituents: int | None = None,
    batch_size: int = 100,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Jets]:
    """Generate jets batch by batch; each batch holds all the classes asked for. Parameters as for `generate`.

    Yields
    ------
    Jets
        The jets of one finished batch.
    """
    writer = _resolve(model)
    names = _checked_classes(writer, classes)
    choice = Choice(temperature, top_k, top_p, stop_bias, min_constituents, max_constituents)
    _check_numbers(n, batch_size)
    device = next(writer.parameters()).device
    generator = torch.Generator(device=device).manual_seed(seed)
    label = torch.tensor([writer.classes.index(c) for c in names] or [0], device=device)
    order = label[torch.arange(n, device=device) % len(label)]
    given = {"pt": pt, "mass": mass, "multiplicity": multiplicity}
    meta = {
        "source": "generated",
        "model": model if isinstance(model, str) else _name(writer),
        "seed": seed,
        "temperature": temperature,
        "top_k": top_k,
        **choice.changed(),
        **{name: value for name, value in given.items() if value is not None},
    }
    writer.eval()
    for part in order.split(batch_size):
        asked = writer.ask(part, generator, pt=pt, mass=mass, multiplicity=multiplicity)
        codes = write_tokens(writer, asked, choice, generator=generator, stop=stop)
        if codes is None:
            return
        yield _decoded(writer, codes, part.cpu().numpy(), meta)


def _decoded(model: OmniJet | OmniJetAlpha, codes: list[np.ndarray], label: np.ndarray, meta: dict[str, Any]) -> Jets:
    assert model.tokenizer is not None
    offsets = np.concatenate([[0], np.cumsum([len(c) for c in codes])])
    tokens = TokenSequences(
        np.concatenate(codes),
        offsets,
        model.vocabulary.codes,
        label if model.classes else None,
        model.classes or CLASSES,
        meta,
    )
    return model.tokenizer.decode(tokens)


def _resolve(model: nn.Module | str) -> OmniJet | OmniJetAlpha:
    if isinstance(model, str):
        from jetlab.zoo import from_pretrained

        model = from_pretrained(model)
    if not isinstance(model, OmniJet | OmniJetAlpha):
        msg = f"expected a model that generates jets (OmniJet, OmniJetAlpha) or its name, found {type(model).__name__}"
        raise JetLabError(msg)
    if model.tokenizer is None:
        msg = (
            "this generator came without its tokenizer, so its codes cannot become jets; load the tokenizer that it "
            "was trained with and give it: model.use(tokenizer)"
        )
        raise JetLabError(msg)
    return model


def _name(model: OmniJet | OmniJetAlpha) -> str:
    return "omnijet" if isinstance(model, OmniJet) else "omnijet-alpha"


def _checked_classes(model: OmniJet | OmniJetAlpha, classes: str | Sequence[str] | None) -> tuple[str, ...]:
    if classes is None and not model.classes:
        return ()
    names = model.classes if classes is None else (classes,) if isinstance(classes, str) else tuple(classes)
    unknown = [c for c in names if c not in model.classes]
    if not model.classes:
        msg = "this model cannot be asked for classes: it generates the mixture that it was trained on; leave them out"
        raise JetLabError(msg)
    if unknown or not names:
        msg = f"this model cannot generate {', '.join(unknown) or 'no class'}; it knows {', '.join(model.classes)}"
        raise JetLabError(msg)
    return names


def _check_numbers(n: int, batch_size: int) -> None:
    if n < 1:
        msg = f"n is {n}, expected at least 1 jet"
        raise JetLabError(msg)
    if batch_size < 1:
        msg = f"batch_size is {batch_size}, expected at least 1"
        raise JetLabError(msg)


def _reporter(
    progress: bool | Callable[[int, int], None], total: int
) -> tuple[Callable[[int, int], None], Callable[[], Any]]:
    if callable(progress):
        return progress, lambda: None
    from tqdm.auto import tqdm

    bar = tqdm(total=total, unit="jet", desc="Generating", disable=not progress)
    return lambda done, _: bar.update(done - bar.n), bar.close
