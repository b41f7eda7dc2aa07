"""Official checkpoints: one importer for each layout, recognised by the names of the tensors, not by the file name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jetlab.errors import CheckpointError
from jetlab.zoo.importers import omnijet, omnilearn, particlenet
from jetlab.zoo.importers.checkpoint import fill, read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

__all__ = ["fill", "import_checkpoint", "read_checkpoint"]

LAYOUTS = (particlenet, omnijet, omnilearn)


def import_checkpoint(path: str | Path) -> nn.Module:
    """Load an official checkpoint into our own model of the same architecture.

    Parameters
    ----------
    path : str or Path
        The file as published.

    Raises
    ------
    CheckpointError
        If the file is damaged, could run a program, or is of no known layout.
    """
    checkpoint = read_checkpoint(path)
    for layout in LAYOUTS:
        if layout.matches(checkpoint.state):
            return layout.load(checkpoint)
    if checkpoint.path.with_name("config.json").is_file():
        msg = f"{path} is a file, not a folder: give the folder of the model, {checkpoint.path.parent}"
        raise CheckpointError(msg)
    names = ", ".join(list(checkpoint.state)[:5]) or "none"
    msg = (
        f"the weights in {path} are of no layout that jetlab knows; tensors: {names}. Known: ParticleNet of JetClass, "
        "OmniJet-alpha, OmniLearn"
    )
    raise CheckpointError(msg)
