"""Official checkpoints against stored outputs of the original software: what is loaded is what was published.

Each system is one module with ``SYSTEM`` (as in ``meta.json``), ``DEFAULT`` (the tolerance) and
``results(model, golden)``, listed in `VERIFIERS`; ``settings(golden)`` gives what `from_pretrained` is to be told, if
a checkpoint does not say all about itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from jetlab.errors import CheckpointError
from jetlab.zoo.verify import fpnd, mpgan, omnijet, omnilearn, omnilearned, part, particlenet
from jetlab.zoo.verify.golden import Golden, compared

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["VERIFIERS", "verify"]

VERIFIERS = (particlenet, part, omnijet, omnilearn, omnilearned, fpnd, mpgan)


def verify(folder: str | Path) -> pd.DataFrame:
    """Load the checkpoint of a golden folder as a user would, and compare what it computes with the stored arrays.

    Parameters
    ----------
    folder : str or Path
        With a checkpoint, ``io.npz`` (inputs, and outputs of the original software) and ``meta.json``: ``system`` says
        what it is, ``checkpoint`` names the file, or the files where the same weights are there in several layouts.

    Returns
    -------
    pandas.DataFrame
        One row for each stored array: ``shape``, number of entries ``compared``, largest ``difference``, the same
        ``relative`` to the largest stored value, ``tolerance``, ``status`` (pass, fail, input, not compared), ``note``.

    Raises
    ------
    CheckpointError
        If the folder is incomplete, the checkpoint cannot be loaded, or the system is not known.
    """
    import pandas as pd
    import torch

    from jetlab.zoo.pretrained import from_pretrained

    golden = Golden.read(folder)
    known = {verifier.SYSTEM: verifier for verifier in VERIFIERS}
    if golden.system not in known:
        msg = (
            f"{folder} holds a checkpoint of {golden.system or 'no named system'!r}, which this version of jetlab "
            f"cannot read yet. It verifies: {', '.join(known)}"
        )
        raise CheckpointError(msg)
    verifier = known[golden.system]
    told = verifier.settings(golden) if hasattr(verifier, "settings") else None
    rows = []
    for path in golden.checkpoints:
        model = from_pretrained(path, settings=told)
        with torch.inference_mode():
            rows.append(compared(golden, verifier.results(model, golden), default=verifier.DEFAULT))
    return pd.DataFrame(map(_worst, zip(*rows, strict=True))).set_index("array")


def _worst(rows: Iterable[dict[str, object]]) -> dict[str, object]:
    """The comparison of an array that came out worst, of those with several layouts of the same weights."""
    return max(rows, key=lambda row: (row["status"] == "fail", row["difference"]))
