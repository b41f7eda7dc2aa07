"""Where and how the arithmetic of training runs: device, precision, random numbers, averaged weights."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from jetlab.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["AveragedWeights", "Precision", "autocast", "choose_device", "own_random_numbers"]

Precision = Literal["fp32", "bf16"]


def choose_device(device: str | torch.device) -> torch.device:
    """Resolve "auto" (a CUDA GPU if there is one, else the CPU) or check the device that was named.

    Raises
    ------
    TrainingError
        If the device does not exist here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        msg = f"device {str(device)!r} cannot be used here ({reason}). Take device='auto' or 'cpu'"
        raise TrainingError(msg) from error


def autocast(device: torch.device, precision: Precision) -> contextlib.AbstractContextManager[Any]:
    """Context in which the forward pass runs: float32, or bfloat16 where the chip computes it natively.

    Raises
    ------
    TrainingError
        If `precision` is neither "fp32" nor "bf16".
    """
    if precision not in ("fp32", "bf16"):
        msg = f"precision is {precision!r}, expected 'fp32' or 'bf16'"
        raise TrainingError(msg)
    if precision == "bf16" and not has_bf16(device):
        msg = f"this {device.type} does not compute bfloat16 natively, which would be slow: training in fp32 instead"
        warnings.warn(msg, UserWarning, stacklevel=3)
        precision = "fp32"
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        flags = _cpu_flags()
        return not flags.isdisjoint({"avx512_bf16", "amx_bf16", "bf16", "sve_bf16"})
    return device.type == "xpu"


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    named = (line.split(":", 1) for line in lines if ":" in line)
    return {flag for name, flags in named if name.strip().lower() in ("flags", "features") for flag in flags.split()}


def reading_is_free(device: torch.device) -> bool:
    """Whether a number can be read from the device without waiting for work queued there."""
    return device.type == "cpu"


class AveragedWeights:
    """Exponential moving average of a model's trainable parameters.

    The average forgets faster at first, with decay ``min(decay, (1 + step) / (10 + step))``, so that short trainings
    are not held back by their random start. Buffers are not averaged.

    Parameters
    ----------
    model : torch.nn.Module
        The average starts from its present parameters.
    decay : float
        Between 0 and 1, such as 0.999.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 < decay < 1:
            msg = f"ema is {decay}, expected a decay between 0 and 1 such as 0.999, or None for no averaging"
            raise TrainingError(msg)
        self.decay = decay
        self._names = [name for name, p in model.named_parameters() if p.requires_grad]
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self.averages = [p.detach().clone() for p in self._parameters]

    def update(self, step: int) -> None:
        """Take in the parameters after the update numbered `step`, counted from 0."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.averages, [p.detach() for p in self._parameters], weight)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Context in which the model computes with the averages."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self) -> None:
        """Exchange the model's parameters and their averages."""
        for i, parameter in enumerate(self._parameters):
            parameter.data, self.averages[i] = self.averages[i], parameter.data

    def state_dict(self) -> dict[str, Tensor]:
        """Averages by parameter name."""
        return dict(zip(self._names, self.averages, strict=True))

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over averages from `state_dict`."""
        for name, average in zip(self._names, self.averages, strict=True):
            average.copy_(state[name])


@contextlib.contextmanager
def own_random_numbers(device: torch.device, seed: int) -> Iterator[None]:
    """Context in which torch's global generators (that dropout draws from) start at `seed`; restored afterwards."""
    before = random_state(device)
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)
    try:
        yield
    finally:
        set_random_state(device, before)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """State of torch's global generators on the CPU and on the device."""
    state = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        state["device"] = torch.get_device_module(device).get_rng_state()
    return state


def set_random_state(device: torch.device, state: dict[str, Tensor]) -> None:
    """Restore what `random_state` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(state["device"])
