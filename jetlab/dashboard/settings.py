"""What a user chooses, and how it is written into and read from the address of the page."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

import param

from jetlab.evaluate.resolution import QUANTITIES
from jetlab.observables import OBSERVABLES
from jetlab.vocabulary import CLASSES

__all__ = ["Settings"]

_FIRST_CLASSES = ["Tbqq"]


class Settings(param.Parameterized):
    """The choices of one session. All of them are in the address, so that a link shows the same comparison."""

    jet_classes = param.ListSelector(default=_FIRST_CLASSES, objects=list(CLASSES), doc="Classes that are compared.")

    observables = param.ListSelector(default=list(OBSERVABLES), objects=list(OBSERVABLES))

    split = param.Selector(default="all", objects=["all", "test"], doc="Which of the bundled jets are the truth.")

    model = param.String(default="", doc="Model that generates; empty if there is none.")

    n = param.Integer(default=1000, bounds=(10, 20_000), doc="Jets to generate in all.")

    temperature = param.Number(default=1.0, bounds=(0.1, 2.0))

    top_k = param.Integer(default=0, bounds=(0, 100_000), doc="Draw from this many most probable tokens; 0 for all.")

    steps = param.Integer(default=16, bounds=(1, 256), doc="From noise to jets, for models that write no tokens.")

    seed = param.Integer(default=1, bounds=(0, 2**31 - 1))

    plot = param.Selector(default="mass", objects=list(OBSERVABLES), doc="Observable of the large plot.")

    log = param.Boolean(default=False, doc="Logarithmic contents.")

    view = param.Selector(default="jets", objects=["jets", "tokens", "studies"], doc="Which view is shown.")

    tokenizer = param.String(default="", doc="Tokenizer of the view of tokens; empty for the first one.")

    quantity = param.Selector(default="mass", objects=list(QUANTITIES), doc="Whose resolution is shown.")

    code = param.Integer(default=None, allow_None=True, bounds=(0, 2**24), doc="Code that is shown in the plane.")

    study = param.String(default="", doc="Study of the view of studies; empty for the first one.")

    theme = param.Selector(default="light", objects=["light", "dark"])

    def to_query(self) -> str:
        """Write all choices as a query string; those that have not been made yet are left out."""
        chosen = {name: getattr(self, name) for name in _QUERY}
        written = {name: _written(value) for name, value in chosen.items() if value not in (None, "")}
        return urlencode(written, quote_via=quote, safe=",")

    def read_query(self, query: Mapping[str, str]) -> list[str]:
        """Take choices from the parts of a query string.

        Parameters
        ----------
        query : mapping of str to str
            Parts by name; unknown names are ignored.

        Returns
        -------
        list of str
            One sentence for each part that makes no sense; the former choice is kept for it.
        """
        problems = []
        for name, text in query.items():
            if name not in _QUERY:
                continue
            try:
                setattr(self, name, self._parsed(name, text))
            except (ValueError, TypeError):
                problems.append(f"The address asks for {name} = {text[:40]!r}, which does not exist; it was left out.")
        return problems

    def _parsed(self, name: str, text: str) -> object:
        kind = self.param[name]
        if isinstance(kind, param.ListSelector):
            chosen = [word for word in text.split(",") if word]
            unknown = [word for word in chosen if word not in kind.objects]
            if unknown:
                raise ValueError(unknown)
            return [known for known in kind.objects if known in chosen]
        if isinstance(kind, param.Boolean):
            return {"1": True, "0": False}[text] if text in ("0", "1") else text
        if isinstance(kind, param.Integer):
            return int(text)
        return float(text) if isinstance(kind, param.Number) else text


_QUERY = (
    "jet_classes", "observables", "split", "model", "n", "temperature", "top_k", "steps", "seed", "plot", "log",
    "view", "tokenizer", "quantity", "code", "study", "theme",
)  # fmt: skip


def _written(value: object) -> str:
    if isinstance(value, list):
        return ",".join(value)
    return str(int(value)) if isinstance(value, bool) else str(value)
