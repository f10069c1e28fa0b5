"""What NIR has and `gradspike.nn` has not: delays, thresholds and constant inputs. No chip computes them."""

from typing import List

import torch
from torch import Tensor


class Delay(torch.nn.Module):
    """Signals come later by whole time steps: `y[t] = x[t - steps]`, and 0 before.

    `forward(x [time, batch, size]) -> [time, batch, size]`.

    Args:
        steps: Steps of each element, `[size]`, or `[1]` for all alike; whole numbers of at least 0.

    Note:
        In front of a network it is host code, and the network can be deployed; inside one it is simulated alone.

    Example:
        >>> Delay(torch.tensor([1, 2]))(torch.eye(2).unsqueeze(1).repeat(2, 1, 1))[:, 0].tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
    """

    steps: Tensor

    def __init__(self, steps: Tensor) -> None:
        super().__init__()
        if steps.dim() != 1 or steps.is_floating_point() or bool((steps < 0).any()):
            raise ValueError(f"Delay: steps must be whole numbers of at least 0, [size], got {steps}")
        self.register_buffer("steps", steps.to(torch.int64))
        self.distinct: List[int] = sorted({int(step) for step in steps.tolist()})

    def forward(self, x: Tensor) -> Tensor:
        result = torch.zeros_like(x)
        for step in self.distinct:
            kept = max(x.shape[0] - step, 0)
            later = torch.cat([torch.zeros_like(x[: x.shape[0] - kept]), x[:kept]])
            result = torch.where(self.steps == step, later, result)
        return result

    def extra_repr(self) -> str:
        return f"steps={self.distinct[0]}..{self.distinct[-1]}"


class Threshold(torch.nn.Module):
    """1 where the input is above the threshold, else 0; no gradient passes.

    `forward(x [time, batch, size]) -> [time, batch, size]`.

    Args:
        threshold: 0-dim or `[size]`.

    Example:
        >>> Threshold(torch.tensor([0.5, 2.0]))(torch.ones(1, 1, 2))
        tensor([[[1., 0.]]])
    """

    threshold: Tensor

    def __init__(self, threshold: Tensor) -> None:
        super().__init__()
        self.register_buffer("threshold", threshold)

    def forward(self, x: Tensor) -> Tensor:
        return (x > self.threshold).to(x.dtype)


class Bias(torch.nn.Module):
    """Adds a constant in every time step.

    `forward(x [time, batch, size]) -> [time, batch, size]`.

    Args:
        bias: `[size]`; it becomes a parameter.

    Example:
        >>> Bias(torch.tensor([0.5]))(torch.zeros(1, 1, 1)).tolist()
        [[[0.5]]]
    """

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias
