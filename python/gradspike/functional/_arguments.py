"""Arguments of operators: parameters that are numbers or tensors."""

from typing import Union

import torch
from torch import Tensor


def parameter(value: Union[float, Tensor], argument: str) -> Tensor:
    """A number becomes a tensor that the operators take for a number; a tensor stays as it is."""
    if not torch.jit.is_scripting() and not isinstance(value, (int, float, Tensor)):
        raise TypeError(f"{argument} must be a number or a tensor, got {type(value).__name__}")
    if isinstance(value, Tensor):
        return value
    return number(value)


def number(value: float) -> Tensor:
    """A 0-dim float64 tensor on the CPU, whatever the default device is: there it counts as a number."""
    if torch.jit.is_scripting():  # there torch.tensor rounds to the default dtype before it widens
        return torch.full([], value, dtype=torch.float64, device="cpu")
    if torch.jit.is_tracing():  # a tracer warns of constants made by torch.tensor
        return torch.full((), value, dtype=torch.float64, device="cpu")
    return torch.tensor(value, dtype=torch.float64, device="cpu")
