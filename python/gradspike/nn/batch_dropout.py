"""Dropout of neurons, the same for a whole batch."""

import torch
from torch import Tensor

from gradspike.nn._checks import check_size


class BatchDropout(torch.nn.Module):
    """Drops neurons: `forward(spikes [time, batch, size]) -> spikes`, with one mask for the whole batch and all steps.

    Spikes are not rescaled. In evaluation mode nothing is dropped, and a network that is read holds nothing of it.

    Args:
        size: Number of neurons, at least 1.
        p: Probability of a neuron to be dropped, 0 <= p <= 1.

    Example:
        >>> BatchDropout(4, 0.5).eval()(torch.ones(2, 1, 4)).sum()
        tensor(8.)
    """

    def __init__(self, size: int, p: float = 0.5) -> None:
        super().__init__()
        check_size("BatchDropout", "size", size)
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"BatchDropout: p must lie in [0, 1], got {p}")
        self.size = size
        self.p = float(p)

    def forward(self, spikes: Tensor) -> Tensor:
        if not self.training:
            return spikes
        return spikes * (torch.rand(self.size, device=spikes.device) > self.p)

    def extra_repr(self) -> str:
        return f"{self.size}, p={self.p:g}"
