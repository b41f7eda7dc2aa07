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
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Jets": "jetlab.jets",
    "concatenate": "jetlab.jets",
    "load_jets": "jetlab.data",
    "write_jets": "jetlab.data",
    "simulate": "jetlab.data",
    "fit": "jetlab.train",
    "generate": "jetlab.generate",
    "from_pretrained": "jetlab.zoo",
    "list_models": "jetlab.zoo",
    "compare": "jetlab.evaluate",
    "evaluate": "",
    "observables": "",
    "plots": "",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        msg = f"module 'jetlab' has no attribute {name!r}; it offers {', '.join(__all__)}"
        raise AttributeError(msg)
    home = _HOME[name]
    value = getattr(importlib.import_module(home), name) if home else importlib.import_module(f"jetlab.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
