"""The ParticleNet of the JetNet package, ``pnet_state_dict.pt``, with the statistics of real jets that lie beside it.

The package holds every EdgeConv tensor twice; both copies must agree. Its linear layers have a bias before the batch
norm, which is moved into the mean that the norm subtracts: the same function.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from jetlab.errors import CheckpointError
from jetlab.zoo.folder import joined
from jetlab.zoo.importers.checkpoint import Checkpoint, fitted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy.typing as npt
    from torch import Tensor

    from jetlab.models.fpnd import FPNDConfig, FPNDNet

__all__ = ["load", "matches"]

_BLOCK = "edge_nets."
_MEAN, _COVARIANCE = "{}_mu.txt", "{}_sigma.txt"
"""Files of JetNet with the statistics of a class, in the folder of the weights."""

_THEIR_HEADS = {"describe_jet.": "fc1.0.", "classify.": "fc2."}

MAX_STATISTICS = 10_000_000
"""Bytes of a file of statistics that are read; the published ones have 1.7 million."""


def matches(names: Iterable[str]) -> bool:
    """Whether these are the names of the tensors of such a network."""
    return any(name.startswith(f"{_BLOCK}0.model.") for name in names)


def load(checkpoint: Checkpoint) -> FPNDNet:
    """Build the network that these tensors belong to, with the statistics that lie beside it.

    Raises
    ------
    CheckpointError
        If tensors are missing, unexpected or of another shape, their two copies differ, or statistics are damaged.
    """
    import torch

    from jetlab.models.fpnd import FPNDConfig, FPNDNet

    statistics = _statistics(checkpoint.path, FPNDConfig())
    net = FPNDNet(FPNDConfig(references=tuple(statistics)))
    own = {name: values for name, values in net.state_dict().items() if name not in ("means", "covariances")}
    names = {name: _their_name(name) for name in own}
    biases = {theirs: own[name] for name, theirs in _biases(own).items()}
    copies = {name: _copied(name) for name in checkpoint.state if _copied(name) != name}
    expected = {theirs: own[name] for name, theirs in names.items()} | biases
    found = fitted(checkpoint, expected, kind="ParticleNet of JetNet", unused=copies)
    _check_copies(checkpoint, copies)
    state = {name: found[theirs] for name, theirs in names.items()}
    for name, theirs in _biases(own).items():
        state[name] = state[name] - found[theirs]
    for k, name in enumerate(("means", "covariances")):
        values = [torch.from_numpy(pair[k]) for pair in statistics.values()]
        state[name] = torch.stack(values) if values else net.get_buffer(name)
    net.load_state_dict(state)
    return net


def _their_name(name: str) -> str:
    for ours, theirs in _THEIR_HEADS.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    block, layer, part, rest = re.fullmatch(r"blocks\.(\d+)\.layers\.(\d+)\.(linear|norm)\.(\w+)", name).groups()  # type: ignore[union-attr]
    return f"{_BLOCK}{block}.model.{3 * int(layer) + (part == 'norm')}.{rest}"


def _biases(own: dict[str, Tensor]) -> dict[str, str]:
    """Our means of batch norms and their biases that belong to these."""
    means = [name for name in own if name.endswith(".norm.running_mean")]
    return {name: _their_name(name.replace(".norm.running_mean", ".linear.bias")) for name in means}


def _copied(name: str) -> str:
    """The tensor that this one is a copy of."""
    return re.sub(r"^edge_convs\.(\d+)\.nn\.", rf"{_BLOCK}\1.", name)


def _check_copies(checkpoint: Checkpoint, copies: dict[str, str]) -> None:
    state = checkpoint.state
    faults = {
        name: f"differs from {first}"
        for name, first in copies.items()
        if first not in state or not state[name].equal(state[first])
    }
    if faults:
        msg = f"the weights in {checkpoint.path} hold tensors twice, but not the same: {joined(faults)}"
        raise CheckpointError(msg)


def _statistics(path: Path, config: FPNDConfig) -> dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Mean and covariance of real jets of each class for which there are both files."""
    found, width = {}, config.width
    for name in config.classes:
        mean, covariance = path.with_name(_MEAN.format(name)), path.with_name(_COVARIANCE.format(name))
        if mean.is_file() and covariance.is_file():
            found[name] = _numbers(mean, (width,)), _numbers(covariance, (width, width))
    return found


def _numbers(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    try:
        if path.stat().st_size > MAX_STATISTICS:
            msg = f"{path} has {path.stat().st_size:,} bytes, more than the {MAX_STATISTICS:,} of any such file"
            raise CheckpointError(msg)
        values = np.loadtxt(path)
    except (OSError, ValueError) as error:
        msg = f"{path} cannot be read as numbers ({str(error).splitlines()[0][:160]})"
        raise CheckpointError(msg) from error
    if values.shape != shape or not np.isfinite(values).all():
        msg = f"{path} holds numbers of shape {values.shape}, expected {shape}, all finite"
        raise CheckpointError(msg)
    return values
