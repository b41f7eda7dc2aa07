"""Which architectures there are, and which models are bundled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jetlab.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ARCHITECTURES", "BUNDLED", "architecture_class", "architecture_name", "bundled_models", "find_model"]


def _omnijet() -> Any:
    from jetlab.models.omnijet import OmniJet

    return OmniJet


def _omnijet_alpha() -> Any:
    from jetlab.models.alpha import OmniJetAlpha

    return OmniJetAlpha


def _omnilearn() -> Any:
    from jetlab.models.omnilearn import OmniLearn

    return OmniLearn


def _event_jepa() -> Any:
    from jetlab.models.event_jepa import EventJepa

    return EventJepa


def _fpnd_net() -> Any:
    from jetlab.models.fpnd import FPNDNet

    return FPNDNet


def _mpgan() -> Any:
    from jetlab.models.mpgan import MPGAN

    return MPGAN


def _jet_flow() -> Any:
    from jetlab.models.jetflow import JetFlow

    return JetFlow


def _jepa() -> Any:
    from jetlab.models.jepa import Jepa

    return Jepa


def _jepa_flow() -> Any:
    from jetlab.models.jepa_flow import JepaFlow

    return JepaFlow


def _masked_model() -> Any:
    from jetlab.models.masked import MaskedModel

    return MaskedModel


def _token_writer() -> Any:
    from jetlab.models.token_writer import TokenWriter

    return TokenWriter


def _omnilearned() -> Any:
    from jetlab.models.omnilearned import OmniLearned

    return OmniLearned


def _mlpgen() -> Any:
    from jetlab.models.mlpgen import MLPGen

    return MLPGen


def _tagger() -> Any:
    from jetlab.models.tagger import Tagger

    return Tagger


def _vqvae() -> Any:
    from jetlab.models.tokenizers import VQVAE

    return VQVAE


def _binned() -> Any:
    from jetlab.models.tokenizers import BinnedTokenizer

    return BinnedTokenizer


ARCHITECTURES: dict[str, Callable[[], Any]] = {
    "omnijet": _omnijet,
    "omnijet-alpha": _omnijet_alpha,
    "omnilearn": _omnilearn,
    "omnilearned": _omnilearned,
    "mlpgen": _mlpgen,
    "fpnd-net": _fpnd_net,
    "mpgan": _mpgan,
    "jet-flow": _jet_flow,
    "jepa": _jepa,
    "jepa-flow": _jepa_flow,
    "event-jepa": _event_jepa,
    "masked-model": _masked_model,
    "token-writer": _token_writer,
    "tagger": _tagger,
    "vqvae": _vqvae,
    "binned": _binned,
}
"""Gives the class of each architecture, imported on use, with ``from_config(config)`` and ``config_dict()``."""

BUNDLED = Path(__file__).parent / "weights"
"""Folder of the models that come with the package."""


def architecture_class(name: str) -> Any:
    """Import the class of an architecture.

    Raises
    ------
    CheckpointError
        If there is no such architecture.
    """
    if name not in ARCHITECTURES:
        msg = f"unknown architecture {name!r}; this version of jetlab knows {', '.join(ARCHITECTURES)}"
        raise CheckpointError(msg)
    return ARCHITECTURES[name]()


def architecture_name(model: object) -> str:
    """Find the architecture that a model is of.

    Raises
    ------
    CheckpointError
        If its class is not registered.
    """
    for name, kind in ARCHITECTURES.items():
        if type(model) is kind():
            return name
    msg = (
        f"cannot save a {type(model).__name__}: models of these architectures can be saved: {', '.join(ARCHITECTURES)}"
    )
    raise CheckpointError(msg)


def bundled_models() -> dict[str, Path]:
    """Folders of the bundled models by name."""
    if not BUNDLED.is_dir():
        return {}
    return {path.name: path for path in sorted(BUNDLED.iterdir()) if (path / "config.json").is_file()}


def find_model(name_or_path: str | Path) -> Path:
    """Resolve the name of a bundled model or the path of a model folder.

    Raises
    ------
    CheckpointError
        If it is neither.
    """
    bundled = bundled_models()
    if isinstance(name_or_path, str) and name_or_path in bundled:
        return bundled[name_or_path]
    path = str(name_or_path)
    if os.path.isdir(path):  # unlike Path.is_dir, False for names that no file can have
        return Path(path)
    known = ", ".join(bundled) or "none"
    found = "a file, not a folder" if os.path.exists(path) else "neither a bundled model nor a folder"
    msg = f"{path[:80]!r} is {found}. Bundled models: {known}. Or give the folder that save_pretrained wrote"
    raise CheckpointError(msg)
