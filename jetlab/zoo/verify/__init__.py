"""Official checkpoints against stored outputs of the original software: what is loaded is what was published.

Each system is one module with ``SYSTEM`` (as in ``meta.json``), ``DEFAULT`` (the tolerance) and
``results(model, golden)``, listed in `VERIFIERS`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jetlab.errors import CheckpointError
from jetlab.zoo.verify import omnijet, particlenet
from jetlab.zoo.verify.golden import Golden, compared

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["VERIFIERS", "verify"]

VERIFIERS = (particlenet, omnijet)


def verify(folder: str | Path) -> pd.DataFrame:
    """Load the checkpoint of a golden folder as a user would, and compare what it computes with the stored arrays.

    Parameters
    ----------
    folder : str or Path
        With a checkpoint, ``io.npz`` (inputs, and outputs of the original software) and ``meta.json``: ``system`` says
        what it is, ``checkpoint`` names the file.

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
    model = from_pretrained(golden.checkpoint)
    with torch.inference_mode():
        rows = compared(golden, verifier.results(model, golden), default=verifier.DEFAULT)
    return pd.DataFrame(rows).set_index("array")
