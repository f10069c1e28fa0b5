"""Encoders from numbers to spikes."""

from typing import Tuple

import torch
from torch import Tensor

from gradspike.transforms import CoordinatesToSpikes

__all__ = ["CoordinatesToSpikes", "PixelsToSpikeTimes", "SpikeTimesToDense", "SpikeTimesToSparseTensor"]


class PixelsToSpikeTimes(torch.nn.Module):
    """Time to first spike of a leaky integrator that a constant current drives: the brighter the earlier.

    `forward(pixels) -> times`: `tau * log(p / (p - threshold))` where p is at least the threshold, else t_max; clamped
    to [0, t_max]. Times are in the unit of tau and t_max.

    Args:
        tau: Time constant of the integrator.
        threshold: Pixels below it spike at t_max.
        t_max: Latest time.
        epsilon: Smallest difference p - threshold.

    Source:
        Cramer et al. 2022, doi 10.1109/TNNLS.2020.3044364.

    Example:
        >>> PixelsToSpikeTimes(tau=8.0, t_max=20.0)(torch.tensor([0.1, 0.25, 1.0]))
        tensor([20.0000, 12.8755,  1.7851])
    """

    def __init__(self, tau: float = 20, threshold: float = 0.2, t_max: float = 1.0, epsilon: float = 1e-7) -> None:
        super().__init__()
        self.tau = tau
        self.threshold = threshold
        self.t_max = t_max
        self.epsilon = epsilon

    def forward(self, pixels: Tensor) -> Tensor:
        above = (pixels - self.threshold).clamp(min=self.epsilon)
        times = self.tau * torch.log(pixels / above)
        times = torch.where(pixels < self.threshold, torch.full_like(times, self.t_max), times)
        return times.clamp(0, self.t_max)


class SpikeTimesToSparseTensor(torch.nn.Module):
    """Spike times to spikes on a grid, sparse: `forward(times [...]) -> spikes [size, ...]`, int64.

    A time falls into bin `int(time / bin_width)`. Times beyond the grid, which are no spikes, are left out.

    Args:
        bin_width: Width of a bin, in the unit of the times.
        size: Number of bins.

    Example:
        >>> SpikeTimesToSparseTensor(1.0, 4)(torch.tensor([0.5, 2.0, 9.0])).to_dense()
        tensor([[1, 0, 0],
                [0, 0, 0],
                [0, 1, 0],
                [0, 0, 0]])
    """

    def __init__(self, bin_width: float, size: int = 100) -> None:
        super().__init__()
        self.bin_width = bin_width
        self.size = size

    def forward(self, times: Tensor) -> Tensor:
        bins = (times / self.bin_width).to(torch.int64)
        if bool((bins < 0).any()):
            raise ValueError(f"{type(self).__name__}: times must be at least 0, got {float(times.min())}")
        kept = bins < self.size
        index = torch.cat([bins[kept].unsqueeze(0), kept.nonzero().t()])
        shape: Tuple[int, ...] = (self.size, *times.shape)
        ones = torch.ones(index.shape[1], dtype=torch.int64, device=times.device)
        with torch.sparse.check_sparse_tensor_invariants():
            return torch.sparse_coo_tensor(index, ones, shape)


class SpikeTimesToDense(SpikeTimesToSparseTensor):
    """As `SpikeTimesToSparseTensor`, dense."""

    def forward(self, times: Tensor) -> Tensor:
        return super().forward(times).to_dense()
