"""JetLab: interactive jet foundation models.

Conventions, the same everywhere:

* GeV, mm, radians; ``phi`` in (-pi, pi]; ``deta = eta - jet_eta`` (no sign flip), ``dphi`` wrapped.
* Masks are boolean, True for a real particle. Constituents are sorted by falling pT.
* Padded tensors are ``(B, N, F)``, float32; four-momenta ``(B, N, 4)`` as (E, px, py, pz).
* A number of jets ``n`` is always the total, shared equally among the classes asked for.

Everything below is imported on first use, so that ``import jetlab`` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jetlab import evaluate, observables, plots, tasks, widgets
    from jetlab.data import datasets, fetch, load_events, load_jets, load_pairs, stream_jets, write_jets
    from jetlab.data.simulate import simulate
    from jetlab.evaluate import compare, compare_by_class
    from jetlab.jets import Events, Jets, Pairs, concatenate
    from jetlab.samplers import generate
    from jetlab.train import fit
    from jetlab.zoo import from_pretrained, list_models, save_pretrained

__version__ = "0.1.0"

__all__ = [
    "Events",
    "Jets",
    "Pairs",
    "__version__",
    "compare",
    "compare_by_class",
    "concatenate",
    "datasets",
    "evaluate",
    "fetch",
    "fit",
    "from_pretrained",
    "generate",
    "list_models",
    "load_events",
    "load_jets",
    "load_pairs",
    "observables",
    "plots",
    "save_pretrained",
    "simulate",
    "stream_jets",
    "tasks",
    "widgets",
    "write_jets",
]

_HOME = {
    "Events": "jetlab.jets",
    "Jets": "jetlab.jets",
    "Pairs": "jetlab.jets",
    "concatenate": "jetlab.jets",
    "datasets": "jetlab.data",
    "fetch": "jetlab.data",
    "load_events": "jetlab.data",
    "load_jets": "jetlab.data",
    "load_pairs": "jetlab.data",
    "stream_jets": "jetlab.data",
    "write_jets": "jetlab.data",
    "simulate": "jetlab.data.simulate",
    "fit": "jetlab.train",
    "generate": "jetlab.samplers",
    "from_pretrained": "jetlab.zoo",
    "list_models": "jetlab.zoo",
    "save_pretrained": "jetlab.zoo",
    "compare": "jetlab.evaluate",
    "compare_by_class": "jetlab.evaluate",
}
"""Where each public function or class lives; the other public names are modules of the package."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        msg = f"module 'jetlab' has no attribute {name!r}; it offers {', '.join(__all__)}"
        raise AttributeError(msg)
    home = _HOME.get(name)
    value = getattr(importlib.import_module(home), name) if home else importlib.import_module(f"jetlab.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
