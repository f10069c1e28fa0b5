"""Arguments of operators: parameters that are numbers or tensors."""

import math
from functools import lru_cache
from typing import Union

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode


def parameter(value: Union[float, Tensor], argument: str) -> Tensor:
    """A number becomes a tensor that the operators take for a number; a tensor stays as it is."""
    if isinstance(value, Tensor):
        return value
    if not torch.jit.is_scripting() and not isinstance(value, (int, float)):
        raise TypeError(f"{argument} must be a number or a tensor, got {type(value).__name__}")
    return number(value)


def number(value: float) -> Tensor:
    """A 0-dim float64 tensor on the CPU, whatever the default device is: there it counts as a number."""
    if torch.jit.is_scripting():  # there torch.tensor rounds to the default dtype before it widens
        return torch.full([], value, dtype=torch.float64, device="cpu")
    elif torch.jit.is_tracing():  # a tracer warns of constants made by torch.tensor
        return torch.full((), value, dtype=torch.float64, device="cpu")
    elif _is_traced():  # a tensor of a trace or a transform, which no other call may see
        return torch.tensor(value, dtype=torch.float64, device="cpu")
    else:
        return _kept_number(value, math.copysign(1.0, value))


def _is_traced() -> bool:
    """Whether compilers, modes or transforms of torch.func see what is made now."""
    return (
        torch.compiler.is_compiling()
        or is_in_torch_dispatch_mode()
        or torch._C._functorch.peek_interpreter_stack() is not None
    )


@lru_cache(maxsize=1024)
def _kept_number(value: float, sign: float) -> Tensor:
    """Numbers that layers pass in every call: making their tensors would take longer than the call. No operator changes
    them. `sign` tells -0.0 from 0.0.
    """
    with torch.inference_mode(False):
        return torch.tensor(value, dtype=torch.float64, device="cpu")
