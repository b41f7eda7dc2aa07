"""Official checkpoints: one importer for each layout, recognised by the names of the tensors, not by the file name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jetlab.errors import CheckpointError
from jetlab.zoo.importers import fpnd, mpgan, omnijet, omnilearn, omnilearned, part, particlenet
from jetlab.zoo.importers.checkpoint import fill, read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

__all__ = ["fill", "import_checkpoint", "read_checkpoint"]

LAYOUTS = (particlenet, part, omnijet, omnilearn, omnilearned, fpnd, mpgan)


def import_checkpoint(path: str | Path, *, settings: Mapping[str, Any] | None = None) -> nn.Module:
    """Load an official checkpoint into our own model of the same architecture.

    Parameters
    ----------
    path : str or Path
        The file as published.
    settings : mapping, optional
        What the file does not say: ``heads``, ``neighbours``, ``coordinates``, ``task``, ``classes`` of OmniLearned;
        ``jet`` of MPGAN.

    Raises
    ------
    CheckpointError
        If the file is damaged, could run a program, is of no known layout, or has no use for a setting.
    """
    checkpoint = replace(read_checkpoint(path), settings=settings or {})
    for layout in LAYOUTS:
        if layout.matches(checkpoint.state):
            known = getattr(layout, "SETTINGS", ())
            unknown = [name for name in checkpoint.settings if name not in known]
            if unknown:
                msg = f"{path} has no setting {', '.join(unknown)}; expected {', '.join(known) or 'none'}"
                raise CheckpointError(msg)
            return layout.load(checkpoint)
    if checkpoint.path.with_name("config.json").is_file():
        msg = f"{path} is a file, not a folder: give the folder of the model, {checkpoint.path.parent}"
        raise CheckpointError(msg)
    names = ", ".join(list(checkpoint.state)[:5]) or "none"
    msg = (
        f"the weights in {path} are of no layout that jetlab knows; tensors: {names}. Known: ParticleNet and "
        "Particle Transformer of JetClass, OmniJet-alpha, OmniLearn, OmniLearned, ParticleNet of JetNet, MPGAN"
    )
    raise CheckpointError(msg)
