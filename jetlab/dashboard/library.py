"""What all sessions share and none may change: the bundled jets, their observables, and the models.

Everything is loaded on first use, once for the whole server, and read only afterwards.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from jetlab import data, zoo
from jetlab.dashboard.tokens.measures import Load, load_tokenizer
from jetlab.dashboard.tokens.shared import SharedTokens
from jetlab.dashboard.worker import Caller, Workers
from jetlab.evaluate import Comparison, Observed, compare, observe
from jetlab.jets import Jets, concatenate
from jetlab.vocabulary import CLASSES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from jetlab.dashboard.results import Request, Result

__all__ = ["GENERATION_BATCH", "SHIPPED_FILE", "TEST_SPLIT", "Library", "Measured", "library"]

TEST_SPLIT = 2
"""Value of the column ``split`` of jets that no training may use."""

SHIPPED_FILE = "generated.parquet"
"""File in a model's folder with jets that it generated."""

GENERATION_BATCH = 100
"""Jets generated at once: small enough for numbers to arrive every few seconds."""

_TOKENIZERS = ("vqvae", "binned")
_FLOWS = ("jet-flow",)
_MEASURED_AT_ONCE = 250
_GENERATIONS_AT_ONCE = 2
_MODELS_KEPT = 2
_RESULTS_KEPT = 50


class Measured:
    """Jets in parts, with observables that are computed on first demand and kept.

    Parameters
    ----------
    jets : Jets, optional
        The jets so far; `add` appends more while they are being generated.
    caller : Caller
        Who computes.
    """

    def __init__(self, jets: Jets | None = None, *, caller: Caller) -> None:
        self._caller = caller
        self._parts: list[Jets] = []
        self._values: list[dict[str, npt.NDArray[np.float64]]] = []
        self._lock = threading.Lock()
        if jets is not None:
            self.add(jets)

    def __len__(self) -> int:
        return sum(map(len, list(self._parts)))

    def add(self, jets: Jets) -> None:
        """Append jets."""
        for start in range(0, len(jets), _MEASURED_AT_ONCE):
            self._parts.append(jets[start : start + _MEASURED_AT_ONCE])
            self._values.append({})

    @property
    def jets(self) -> Jets:
        """All jets so far."""
        return concatenate(list(self._parts))

    def measure(self, names: Sequence[str]) -> None:
        """Compute these observables of the jets so far, if that has not been done."""
        with self._lock:
            for jets, values in zip(list(self._parts), list(self._values), strict=False):
                missing = [name for name in names if name not in values]
                if missing:
                    values.update(self._caller.call(observe, jets, missing).values)

    def observed(self, names: Sequence[str]) -> tuple[Jets, Observed]:
        """The jets so far and their observables of these names."""
        self.measure(names)
        complete = [
            (jets, Observed({n: values[n] for n in names}, jets.offsets, jets.label, jets.classes, dict(jets.meta)))
            for jets, values in zip(list(self._parts), list(self._values), strict=False)
            if all(name in values for name in names)
        ]
        return concatenate([jets for jets, _ in complete]), Observed.join([observed for _, observed in complete])


class Library:
    """The bundled jets and the models of a server.

    Parameters
    ----------
    caller : Caller, optional
        Who computes observables and distances; by default processes of their own.
    """

    def __init__(self, *, caller: Caller | None = None) -> None:
        self.caller = caller or Workers()
        self.slots = threading.BoundedSemaphore(_GENERATIONS_AT_ONCE)
        self._loading = threading.Lock()
        self._results: dict[Hashable, Result] = {}

    # ---- true jets ----------------------------------------------------------------------------------------------

    def measure_true(self, classes: Sequence[str], names: Sequence[str]) -> None:
        """Compute observables of the bundled jets of some classes, if that has not been done."""
        for name in classes:
            self._of_class(name).measure(names)

    def true(self, classes: Sequence[str], names: Sequence[str], *, split: str) -> tuple[Jets, Observed]:
        """Bundled jets of some classes and their observables.

        Parameters
        ----------
        classes : sequence of str
            Class names, at least one.
        names : sequence of str
            Observables.
        split : {"all", "test"}
            All bundled jets or only those marked for testing.
        """
        found = [self._of_class(name).observed(names) for name in CLASSES if name in classes]
        jets, observed = concatenate([f[0] for f in found]), Observed.join([f[1] for f in found])
        if split == "test":
            keep = jets.info["split"] == TEST_SPLIT
            jets, observed = jets[keep], observed[keep]
        return jets, observed

    def jets_of(self, name: str, *, split: str) -> Jets:
        """Bundled jets of one class; `split` as for `true`."""
        jets = self._of_class(name).jets
        return jets[jets.info["split"] == TEST_SPLIT] if split == "test" else jets

    def compare(self, true: Observed, generated: Observed, names: Sequence[str], *, resamplings: int) -> Comparison:
        """Distances and histograms of some observables."""
        return self.caller.call(compare, true, generated, observables=list(names), bootstrap=resamplings)

    def measured(self, jets: Jets | None = None) -> Measured:
        """Jets to be measured for one session."""
        return Measured(jets, caller=self.caller)

    def recall(self, request: Request) -> Result | None:
        """The result of a request that some session has made before, if it is the same for all sessions."""
        found = self._results.get(request.shared_key)
        return None if found is None else replace(found, key=request.key)

    def remember(self, request: Request, result: Result) -> None:
        """Keep a result for other sessions; the oldest ones are forgotten."""
        if request.shared_key is not None:
            self._results[request.shared_key] = result
            while len(self._results) > _RESULTS_KEPT:
                del self._results[next(iter(self._results))]

    def _of_class(self, name: str) -> Measured:
        with self._loading:
            return self._by_class[name]

    @cached_property
    def _by_class(self) -> dict[str, Measured]:
        sample = self._sample()
        return {name: self.measured(sample.of_class(name)) for name in CLASSES}

    def _sample(self) -> Jets:
        return data.load_jets("sample")

    # ---- models -------------------------------------------------------------------------------------------------

    @cached_property
    def models(self) -> dict[str, str]:
        """Names of the models that can generate, each with a short description."""
        listed = zoo.list_models()
        generators = listed[listed["task"] == "generation"]
        return {str(name): str(row["description"]) for name, row in generators.iterrows()}

    @cached_property
    def tokenizers(self) -> dict[str, str]:
        """Names of the models that turn jets into codes, each with a short description."""
        rows = zoo.list_models()
        return {str(name): str(row["description"]) for name, row in rows.iterrows() if _has_tokenizer(str(name))}

    @cached_property
    def tokens(self) -> SharedTokens:
        """The bundled jets as codes."""
        return SharedTokens(self, load=self._load_tokenizer)

    _load_tokenizer: Load = staticmethod(load_tokenizer)

    def shipped(self, model: str) -> Measured | None:
        """Jets that come with a model, so that a comparison can be shown before anything is generated."""
        return self._shipped.get(model)

    @cached_property
    def _shipped(self) -> dict[str, Measured]:
        paths = {name: zoo.describe(name)["path"] / SHIPPED_FILE for name in self.models}
        return {name: self.measured(data.load_jets(path)) for name, path in paths.items() if path.is_file()}

    def writes_tokens(self, model: str) -> bool:
        """Whether a model writes one token after the other, or moves all constituents at once."""
        return model not in self.flows

    @cached_property
    def flows(self) -> frozenset[str]:
        """Names of the models that move all constituents at once."""
        listed = zoo.list_models()
        return frozenset(listed.index[listed["architecture"].isin(_FLOWS)])

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
        """Prepare a generation; nothing heavy is imported before it is called.

        Returns
        -------
        callable
            Given a function that says whether to stop, it loads the model and iterates over finished batches.
        """

        def begin(stop: Callable[[], bool]) -> Iterator[Jets]:
            from jetlab import samplers

            loaded = _load_model(model)
            _few_threads()
            if not self.writes_tokens(model):
                return samplers.stream(
                    loaded, n, classes=list(classes), seed=seed, steps=steps, batch_size=GENERATION_BATCH, stop=stop
                )
            return samplers.stream(
                loaded, n, classes=list(classes), seed=seed, temperature=temperature, top_k=top_k,
                batch_size=GENERATION_BATCH, stop=stop,
            )  # fmt: skip

        return begin


@cache
def library() -> Library:
    """The library of this server."""
    return Library()


@lru_cache(_MODELS_KEPT)
def _load_model(name: str) -> Any:
    return zoo.from_pretrained(name)


def _has_tokenizer(model: str) -> bool:
    found = zoo.describe(model)
    return found["architecture"] in _TOKENIZERS or bool(found["config"].get("tokenizer"))


def _few_threads() -> None:
    """Leave processors to the other sessions; the setting is that of the calling thread."""
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 2) // _GENERATIONS_AT_ONCE))
