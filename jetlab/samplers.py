"""Generation: prompts, then tokens one by one with a key-value cache, then jets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from jetlab.errors import JetLabError
from jetlab.jets import Jets, concatenate
from jetlab.models.omnijet import OmniJet, Progress
from jetlab.models.tokens import Prompt, TokenSequences

if TYPE_CHECKING:
    from torch import nn

__all__ = ["generate", "sample_tokens", "stream"]


def generate(
    model: nn.Module | str,
    n: int,
    *,
    classes: str | Sequence[str] | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    batch_size: int = 100,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> Jets:
    """Generate jets.

    Parameters
    ----------
    model : OmniJet or str
        A model, or the name or folder of one for `jetlab.from_pretrained`.
    n : int
        Number of jets in all, shared equally among the classes.
    classes : str or sequence of str, optional
        Classes to generate; all that the model knows if not given.
    seed : int
        The same seed gives the same jets on the same machine and batch size.
    temperature : float
        Above 1 flattens the token probabilities, below 1 sharpens them; 0 takes the most probable token.
    top_k : int, optional
        Draw only from this many most probable tokens.
    batch_size : int
        Jets generated at once.
    progress : bool or callable
        True draws a bar; a callable gets (jets done, jets in all).
    stop : callable, optional
        Asked before every token; generation ends when it returns True and the finished batches are returned.

    Returns
    -------
    Jets
        Around the axis eta = phi = 0, with labels, massless constituents and provenance in ``meta``.

    Raises
    ------
    JetLabError
        If `n`, `classes`, `temperature` or `top_k` make no sense, or if stopped before the first batch was finished.
    """
    report, close = _reporter(progress, n)
    done: list[Jets] = []
    try:
        for jets in stream(
            model,
            n,
            classes=classes,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
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
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    batch_size: int = 100,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Jets]:
    """Generate jets batch by batch; each batch holds all the classes asked for. Parameters as for `generate`.

    Yields
    ------
    Jets
        The jets of one finished batch.
    """
    omnijet = _resolve(model)
    names = _checked_classes(omnijet, classes)
    _check_numbers(n, temperature, top_k)
    device = omnijet.generator.momenta.device
    generator = torch.Generator(device=device).manual_seed(seed)
    label = torch.tensor([omnijet.classes.index(c) for c in names], device=device)
    order = label[torch.arange(n, device=device) % len(names)]
    meta = {
        "source": "generated",
        "model": model if isinstance(model, str) else "omnijet",
        "seed": seed,
        "temperature": temperature,
        "top_k": top_k,
    }
    omnijet.eval()
    for part in order.split(batch_size):
        prompt = omnijet.prompts.sample(part, generator)
        codes = sample_tokens(omnijet, prompt, generator=generator, temperature=temperature, top_k=top_k, stop=stop)
        if codes is None:
            return
        offsets = np.concatenate([[0], np.cumsum([len(c) for c in codes])])
        tokens = TokenSequences(
            np.concatenate(codes), offsets, omnijet.vocabulary.codes, part.cpu().numpy(), omnijet.classes, meta
        )
        yield omnijet.tokenizer.decode(tokens)


@torch.no_grad()
def sample_tokens(
    model: OmniJet,
    prompt: Prompt,
    *,
    generator: torch.Generator | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[np.ndarray] | None:
    """Codes of one jet for each prompt, in order; None if stopped.

    Jets that are finished leave the batch, so the cost follows the real lengths. Every jet has at least one
    constituent and at most one less than the context of the model.
    """
    vocabulary, tokens = model.vocabulary, model.generator
    rows = torch.arange(len(prompt), device=prompt.label.device)
    ids = torch.full_like(prompt.label, vocabulary.start)
    caches, vectors = tokens.gpt.caches(len(prompt)), tokens.code_vectors()
    progress = Progress.none(len(prompt), ids.device)
    steps = tokens.gpt.config.max_length - 2
    written = torch.full((len(prompt), steps), vocabulary.padding, device=ids.device)
    for t in range(steps):
        if stop is not None and stop():
            return None
        logits = tokens.step(ids, progress, prompt, caches, vectors).float()
        if t == 0:
            logits[:, vocabulary.stop] = -torch.inf
        ids = _draw(logits, temperature, top_k, generator)
        going = ids != vocabulary.stop
        if not going.all():
            ids, rows, prompt = ids[going], rows[going], prompt[going]
            progress = Progress(progress.p4[going], progress.count[going])
            for cache in caches:
                cache.keep(going.nonzero()[:, 0])
        if not len(rows):
            break
        written[rows, t] = ids
    return [row[row != vocabulary.padding] for row in written.cpu().numpy()]


def _draw(logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator | None) -> Tensor:
    if temperature == 0:
        return logits.argmax(-1)
    if top_k is not None and top_k < logits.shape[-1]:
        lowest = logits.topk(top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < lowest, -torch.inf)
    return torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)[:, 0]


def _resolve(model: nn.Module | str) -> OmniJet:
    if isinstance(model, str):
        from jetlab.zoo import from_pretrained

        model = from_pretrained(model)
    if not isinstance(model, OmniJet):
        msg = f"expected a model that generates jets (OmniJet) or its name, found {type(model).__name__}"
        raise JetLabError(msg)
    return model


def _checked_classes(model: OmniJet, classes: str | Sequence[str] | None) -> tuple[str, ...]:
    names = model.classes if classes is None else (classes,) if isinstance(classes, str) else tuple(classes)
    unknown = [c for c in names if c not in model.classes]
    if unknown or not names:
        msg = f"this model cannot generate {', '.join(unknown) or 'no class'}; it knows {', '.join(model.classes)}"
        raise JetLabError(msg)
    return names


def _check_numbers(n: int, temperature: float, top_k: int | None) -> None:
    if n < 1:
        msg = f"n is {n}, expected at least 1 jet"
        raise JetLabError(msg)
    if not 0 <= temperature < 100:
        msg = f"temperature is {temperature}, expected 0 (most probable token) up to about 2; 1 is as trained"
        raise JetLabError(msg)
    if top_k is not None and top_k < 1:
        msg = f"top_k is {top_k}, expected at least 1, or None to draw from all tokens"
        raise JetLabError(msg)


def _reporter(
    progress: bool | Callable[[int, int], None], total: int
) -> tuple[Callable[[int, int], None], Callable[[], Any]]:
    if callable(progress):
        return progress, lambda: None
    from tqdm.auto import tqdm

    bar = tqdm(total=total, unit="jet", desc="Generating", disable=not progress)
    return lambda done, _: bar.update(done - bar.n), bar.close
