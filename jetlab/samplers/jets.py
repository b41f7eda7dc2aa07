"""Jets from a model: what is asked for, then codes or noise, then constituents, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from jetlab.errors import JetLabError
from jetlab.jets import Jets, concatenate
from jetlab.models.alpha import OmniJetAlpha
from jetlab.models.jetflow import JetFlow
from jetlab.models.omnijet import OmniJet
from jetlab.models.token_writer import TokenWriter
from jetlab.models.tokens import TokenSequences
from jetlab.samplers.choice import Choice
from jetlab.samplers.particles import Method, Path, move_particles
from jetlab.samplers.tokens import write_tokens
from jetlab.vocabulary import CLASSES

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import nn

__all__ = ["Generator", "generate", "stream"]

Generator = OmniJet | OmniJetAlpha | TokenWriter | JetFlow
"""Models that generate jets."""

NAMES: dict[type, str] = {
    OmniJet: "omnijet",
    OmniJetAlpha: "omnijet-alpha",
    TokenWriter: "token-writer",
    JetFlow: "jet-flow",
}
"""What generated jets say that they come from, if the model itself was given."""


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
    steps: int | None = None,
    method: Method | None = None,
    guidance: float = 0.0,
    batch_size: int = 100,
    progress: bool | Callable[[int, int], None] = True,
    stop: Callable[[], bool] | None = None,
) -> Jets:
    """Generate jets.

    Parameters
    ----------
    model : OmniJet, OmniJetAlpha, TokenWriter, JetFlow or str
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
        This and the options down to `max_constituents` are for models that write one token after the other. Above 1
        flattens the token probabilities, below 1 sharpens them; 0 takes the most probable token.
    top_k : int, optional
        Draw only from this many most probable tokens.
    top_p : float, optional
        Draw only from the most probable tokens that together have at least this probability.
    stop_bias : float
        Added to the logit of the end of a jet: above 0 makes shorter jets, below 0 longer ones.
    min_constituents, max_constituents : int, optional
        Bounds on the length of jets, whatever the model would do.
    steps : int, optional
        From noise to jets, for models that move all constituents at once; more are slower and closer to what the model
        has learned. 16 if not given.
    method : {"midpoint", "heun", "euler", "ddim", "ancestral"}, optional
        How such a step is taken: the first three for models of flows, "midpoint" if not given, "heun" and the last two
        for models of diffusion, "heun" if not given. "euler" and "ancestral" call the network once, the others twice.
    guidance : float
        For models of diffusion that have learned jets of any class too: how much further away from those than the class
        itself. 0 is the class alone.
    batch_size : int
        Jets generated at once.
    progress : bool or callable
        True draws a bar; a callable gets (jets done, jets in all).
    stop : callable, optional
        Asked before every token or network call; generation ends when it returns True and the finished batches are
        returned.

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
            steps=steps,
            method=method,
            guidance=guidance,
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
    steps: int | None = None,
    method: Method | None = None,
    guidance: float = 0.0,
    batch_size: int = 100,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Jets]:
    """Generate jets batch by batch; each batch holds all the classes asked for. Parameters as for `generate`.

    Yields
    ------
    Jets
        The jets of one finished batch.
    """
    generator_of_jets = _resolve(model)
    names = _checked_classes(generator_of_jets, classes)
    choice = Choice(temperature, top_k, top_p, stop_bias, min_constituents, max_constituents)
    path = Path(Path.steps if steps is None else steps, method, guidance)
    finish = _way(generator_of_jets, choice, path)
    _check_numbers(n, batch_size)
    device = next(generator_of_jets.parameters()).device
    generator = torch.Generator(device=device).manual_seed(seed)
    label = torch.tensor([generator_of_jets.classes.index(c) for c in names] or [0], device=device)
    order = label[torch.arange(n, device=device) % len(label)]
    given = {"pt": pt, "mass": mass, "multiplicity": multiplicity}
    meta = {
        "source": "generated",
        "model": model if isinstance(model, str) else NAMES[type(generator_of_jets)],
        "seed": seed,
        **finish.meta(),
        **{name: value for name, value in given.items() if value is not None},
    }
    generator_of_jets.eval()
    for part in order.split(batch_size):
        asked = generator_of_jets.ask(part, generator, pt=pt, mass=mass, multiplicity=multiplicity)
        jets = finish(asked, part.cpu().numpy(), generator, meta, stop)
        if jets is None:
            return
        yield jets


@dataclass(frozen=True)
class _ByTokens:
    """One token after the other."""

    model: OmniJet | OmniJetAlpha | TokenWriter
    choice: Choice

    def meta(self) -> dict[str, Any]:
        return {"temperature": self.choice.temperature, "top_k": self.choice.top_k, **self.choice.changed()}

    def __call__(
        self,
        asked: Any,
        label: npt.NDArray[np.int64],
        generator: torch.Generator,
        meta: dict[str, Any],
        stop: Callable[[], bool] | None,
    ) -> Jets | None:
        model = self.model
        assert model.tokenizer is not None
        codes = write_tokens(model, asked, self.choice, generator=generator, stop=stop)
        if codes is None:
            return None
        offsets = np.concatenate([[0], np.cumsum([len(c) for c in codes])])
        classes = model.classes or CLASSES
        size = model.vocabulary.codes
        tokens = TokenSequences(np.concatenate(codes), offsets, size, label if model.classes else None, classes, meta)
        return model.tokenizer.decode(tokens)


@dataclass(frozen=True)
class _ByFlow:
    """All constituents at once, from noise."""

    model: JetFlow
    path: Path

    def meta(self) -> dict[str, Any]:
        guided = {"guidance": self.path.guidance} if self.path.guidance else {}
        return {"steps": self.path.steps, "method": self.path.method, **guided}

    def __call__(
        self,
        asked: Any,
        label: npt.NDArray[np.int64],  # noqa: ARG002
        generator: torch.Generator,
        meta: dict[str, Any],
        stop: Callable[[], bool] | None,
    ) -> Jets | None:
        noise = self.model.begin(asked, generator)
        moved = move_particles(self.model, noise, self.path, generator=generator, stop=stop)
        return None if moved is None else self.model.finish(moved, meta)


def _way(model: Generator, choice: Choice, path: Path) -> _ByTokens | _ByFlow:
    """How this model generates, with the options that are for it; others are refused."""
    if isinstance(model, JetFlow):
        if choice != Choice():
            msg = (
                "this model moves all constituents at once and writes no tokens: leave out temperature, top_k, top_p, "
                "stop_bias, min_constituents and max_constituents; steps, method and guidance are for it"
            )
            raise JetLabError(msg)
        return _ByFlow(model, path.for_process(model.config.process))
    if path != Path():
        msg = (
            "this model writes one token after the other: leave out steps, method and guidance, which are for models "
            "of flows and diffusion"
        )
        raise JetLabError(msg)
    return _ByTokens(model, choice)


def _resolve(model: nn.Module | str) -> Generator:
    if isinstance(model, str):
        from jetlab.zoo import from_pretrained

        model = from_pretrained(model)
    if not isinstance(model, Generator):
        kinds = ", ".join(kind.__name__ for kind in NAMES)
        msg = f"expected a model that generates jets ({kinds}) or its name, found {type(model).__name__}"
        raise JetLabError(msg)
    if not isinstance(model, JetFlow) and model.tokenizer is None:
        msg = (
            "this generator came without its tokenizer, so its codes cannot become jets; load the tokenizer that it "
            "was trained with and give it: model.use(tokenizer)"
        )
        raise JetLabError(msg)
    return model


def _checked_classes(model: Generator, classes: str | Sequence[str] | None) -> tuple[str, ...]:
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
