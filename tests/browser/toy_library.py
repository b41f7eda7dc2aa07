"""A small library for the dashboard: toy jets as truth and a toy model that really generates."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from jetlab.dashboard.library import Library, Measured
from jetlab.dashboard.worker import InPlace
from jetlab.jets import Jets
from tests.toys import toy_jetflow, toy_jets, toy_omnijet

N_TRUE = 300


class ToyLibrary(Library):
    """Toy jets and a toy model; generation can be slowed down.

    Parameters
    ----------
    models : sequence of str
        Names of models that there are.
    pause : float
        Seconds before each generated batch.
    shipped : bool
        Whether jets come with the model.
    """

    def __init__(self, *, models: Sequence[str] = ("toy",), pause: float = 0.0, shipped: bool = False) -> None:
        super().__init__(caller=InPlace())
        self._models, self._pause, self._ships = models, pause, shipped

    @property
    def models(self) -> dict[str, str]:  # type: ignore[override]
        return dict.fromkeys(self._models, "untrained")

    @property
    def flows(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"flow"} & set(self._models))

    @property
    def tokenizers(self) -> dict[str, str]:  # type: ignore[override]
        return self.models

    def _load_tokenizer(self, name: str):  # type: ignore[override]
        if name == "broken":
            msg = "the weights are damaged"
            raise ValueError(msg)
        return toy_tokenizer()

    def _sample(self) -> Jets:
        return toy_jets(N_TRUE).with_info(split=np.arange(N_TRUE) // 10 % 3)

    def shipped(self, model: str) -> Measured | None:
        return self._shipped_jets if self._ships and model else None

    @functools.cached_property
    def _shipped_jets(self) -> Measured:
        return self.measured(toy_jets(200, seed=5))

    def stream(
        self,
        model: str,
        n: int,
        *,
        classes: Sequence[str],
        seed: int,
        temperature: float,
        top_k: int | None,
        steps: int,
    ) -> Callable[[Callable[[], bool]], Iterator[Jets]]:
        if model == "broken":
            return _broken

        def begin(stop: Callable[[], bool]) -> Iterator[Jets]:
            from jetlab import samplers

            flow = model in self.flows
            options = {"steps": steps} if flow else {"temperature": temperature, "top_k": top_k}
            batches = samplers.stream(
                toy_jetflow() if flow else _toy_model(), n, classes=list(classes), seed=seed, batch_size=20, stop=stop,
                **options,
            )  # fmt: skip
            for jets in batches:
                _wait(self._pause, stop)
                yield jets

        return begin


def _broken(stop: Callable[[], bool]) -> Iterator[Jets]:
    msg = "the weights are damaged"
    raise ValueError(msg)


def _wait(seconds: float, stop: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stop():
        time.sleep(0.01)


@functools.cache
def _toy_model():
    return toy_omnijet()


@functools.cache
def toy_tokenizer(*, codes: int = 16):
    """A tokenizer that has placed its codes but learned nothing."""
    import torch

    from jetlab.batches import ParticleSet
    from jetlab.models.tokenizers import VQVAE, VQVAEConfig

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tokenizer = VQVAE(VQVAEConfig(width=16, depth=1, heads=2, codebook_size=codes))
    tokenizer.quantizer.wait = 0
    particles = ParticleSet(toy_jets(100), tokenizer.recipe)
    with torch.no_grad():
        tokenizer.train()(particles.batch(np.arange(100)), torch.Generator().manual_seed(0))
    return tokenizer.eval()


@functools.cache
def shared(**options: object) -> ToyLibrary:
    """One library for all sessions of a server."""
    return ToyLibrary(**options)
