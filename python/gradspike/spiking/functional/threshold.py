"""Thresholds with surrogate derivatives, for loops over time of your own."""

from typing import Any, Tuple

import torch
from torch import Tensor


class SuperSpike(torch.autograd.Function):
    """`SuperSpike.apply(x, alpha)`: 1 where x > 0, else 0; derivative `1 / (alpha * |x| + 1)**2`.

    Source: Zenke and Ganguli 2018, doi 10.1162/neco_a_01086.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.alpha = alpha
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradients[0] / (ctx.alpha * x.abs() + 1.0) ** 2, None


def superspike_func(input: Tensor, alpha: float = 50.0) -> Tensor:
    """`SuperSpike` as a function."""
    result: Tensor = SuperSpike.apply(input, alpha)
    return result


def threshold(input: Tensor, method: str, alpha: float) -> Tensor:
    """Spikes where `input > 0`, with the surrogate derivative `method`.

    Raises:
        ValueError: the method is not "superspike"; the neurons themselves take every surrogate of
            `gradspike.functional.lif`.
    """
    if method != "superspike":
        raise ValueError(f"Threshold function '{method}' is not implemented yet")
    return superspike_func(input, alpha)
