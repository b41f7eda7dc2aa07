"""Tokenized jets that all sessions share: made on first use, in small parts, and kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from jetlab.dashboard.tokens.measures import Cloud, Load, Summary, Tokenized, cloud_of, summarise, tokenize
from jetlab.jets import concatenate

if TYPE_CHECKING:
    from jetlab.dashboard.library import Library

__all__ = ["JETS", "SharedTokens"]

T = TypeVar("T")

JETS = 2000
"""About so many jets are tokenized, evenly over the chosen classes."""

_PART = 100
_CONTEXTS = 300
_KEPT = {"parts": 600, "summaries": 50, "clouds": 200}


class SharedTokens:
    """Bundled jets as codes.

    Parameters
    ----------
    library : Library
        Where jets come from and who computes.
    load : callable
        Gives the tokenizer of a name; it is called in a child process.
    """

    def __init__(self, library: Library, *, load: Load) -> None:
        self._library, self._load = library, load
        self._lock = threading.Lock()
        self._parts: dict[tuple[str, str, str, int], Tokenized] = {}
        self._summaries: dict[tuple[object, ...], Summary] = {}
        self._clouds: dict[tuple[object, ...], Cloud] = {}

    def parts(self, name: str, classes: Sequence[str], *, split: str) -> Iterator[tuple[list[Tokenized], bool]]:
        """Tokenize jets of some classes, in turn, part by part.

        Parameters
        ----------
        name : str
            Tokenizer.
        classes : sequence of str
            At least one.
        split : {"all", "test"}
            As for `Library.true`.

        Yields
        ------
        list of Tokenized, bool
            All parts so far, and whether they are complete.
        """
        jets = {c: self._library.jets_of(c, split=split) for c in classes}
        share = -(-JETS // len(classes))
        asked = [(i, c) for i in range(0, share, _PART) for c in classes if i < min(len(jets[c]), share)]
        done: list[Tokenized] = []
        for count, (start, c) in enumerate(asked, 1):
            key = name, c, split, start
            part = self._parts.get(key)
            if part is None:
                ours = jets[c][start : min(start + _PART, share)]
                part = self._keep("parts", key, self._library.caller.call(tokenize, self._load, name, ours))
            done.append(part)
            yield done, count == len(asked)

    def summary(self, tokenized: Tokenized, quantities: Sequence[str], *, key: tuple[object, ...] | None) -> Summary:
        """Measures of tokenized jets, computed once for each key; without a key they are not kept."""
        found = None if key is None else self._summaries.get(key)
        if found is None:
            found = self._library.caller.call(summarise, tokenized, list(quantities))
        return found if key is None else self._keep("summaries", key, found)

    def cloud(self, name: str, classes: Sequence[str], code: int, *, split: str) -> Cloud:
        """What a code decodes to in jets of some classes, computed once."""
        key = name, tuple(classes), split, code
        found = self._clouds.get(key)
        if found is None:
            each = -(-_CONTEXTS // len(classes))
            jets = concatenate([self._library.jets_of(c, split=split)[:each] for c in classes])
            found = self._library.caller.call(cloud_of, self._load, name, jets, code, contexts=_CONTEXTS)
        return self._keep("clouds", key, found)

    def _keep(self, kind: str, key: tuple[object, ...], value: T) -> T:
        """Remember a result and give it back; the oldest ones are forgotten."""
        store = getattr(self, f"_{kind}")
        with self._lock:
            store[key] = value
            while len(store) > _KEPT[kind]:
                del store[next(iter(store))]
        return value
