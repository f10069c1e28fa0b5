"""Encoders from numbers to spikes and decoders from traces to scores, as modules.

Spikes are float32 of shape `[time, batch, channel]`; times are in seconds.
"""

import math
from typing import Optional

import torch
from torch import Tensor

__all__ = [
    "CoordinatesToSpikes",
    "DeltaEncoder",
    "LatencyEncoder",
    "MaxOverTime",
    "MeanOverTime",
    "PoissonEncoder",
    "SumOverTime",
]


class CoordinatesToSpikes(torch.nn.Module):
    """One spike per coordinate, linear in time: `step = round((t_early + x * (t_late - t_early)) / dt)`, half to even.

    `forward(coordinates [batch, channel]) -> spikes [time, batch, channel (+ 1 with a bias)]`.

    Args:
        seq_length: Number of time steps, at least 1.
        t_early: Time of the spike for x = 0 [s].
        t_late: Time of the spike for x = 1 [s].
        dt: Time step [s], above 0.
        t_bias: Time of a spike of one further channel [s], at step `int(t_bias / dt)`; None: no such channel.

    Raises:
        RuntimeError: a spike falls outside the sequence; the sentence names the coordinate and the step.

    Note:
        The check reads numbers, so on CUDA it waits for the device.

    Source:
        Encoding of the Yin-Yang data set, Kriener, Goeltz and Petrovici 2022, doi 10.1145/3517343.3517380.

    Example:
        >>> encoder = CoordinatesToSpikes(38, t_early=2e-6, t_late=26e-6, dt=1e-6, t_bias=2e-6)
        >>> encoder(torch.tensor([[0.0, 1.0, 0.5, 0.25]])).argmax(0)
        tensor([[ 2, 26, 14,  8,  2]])
    """

    def __init__(
        self, seq_length: int, t_early: float, t_late: float, dt: float = 1e-6, t_bias: Optional[float] = None
    ) -> None:
        super().__init__()
        _check_grid("CoordinatesToSpikes", seq_length, dt)
        self.seq_length = seq_length
        self.t_early = float(t_early)
        self.t_late = float(t_late)
        self.dt = float(dt)
        self.bias_step = -1 if t_bias is None else int(t_bias / dt)
        if t_bias is not None and not 0 <= self.bias_step < seq_length:
            raise RuntimeError(
                f"CoordinatesToSpikes: t_bias must fall in steps 0 to {seq_length - 1}, got step {self.bias_step}"
            )

    def forward(self, coordinates: Tensor) -> Tensor:
        steps = torch.round((self.t_early + coordinates * (self.t_late - self.t_early)) / self.dt).to(torch.int64)
        if self.bias_step >= 0:
            steps = torch.cat([steps, torch.full_like(steps[:, :1], self.bias_step)], dim=1)
        outside = torch.logical_or(steps < 0, steps >= self.seq_length)
        if bool(outside.any()):
            raise RuntimeError(
                "CoordinatesToSpikes: coordinates must give steps 0 to "
                + str(self.seq_length - 1)
                + ", got step "
                + str(int(steps[outside][0].item()))
            )
        return _spikes_at(steps, self.seq_length)


class PoissonEncoder(torch.nn.Module):
    """Independent spikes: in each step with probability `intensity * max_rate * dt`.

    `forward(intensity [batch, channel] in [0, 1]) -> spikes [time, batch, channel]`.

    Args:
        seq_length: Number of time steps, at least 1.
        max_rate: Rate at intensity 1 [1/s], 0 <= max_rate <= 1 / dt. The default, 50 kHz, is one spike in 20 steps of
            1 us, the rate that `gradspike.nn.Synapse` is initialised for.
        dt: Time step [s], above 0.
        generator: Random numbers of one device; None: PyTorch's default generator, see `torch.manual_seed`.

    Raises:
        RuntimeError: an intensity lies outside [0, 1] (found by PyTorch's bernoulli).

    Example:
        >>> encoder = PoissonEncoder(1000, generator=torch.Generator().manual_seed(0))
        >>> 0.03 < encoder(torch.ones(1, 4)).mean().item() < 0.07
        True
    """

    def __init__(
        self,
        seq_length: int,
        max_rate: float = 50e3,
        dt: float = 1e-6,
        generator: Optional[torch.Generator] = None,
    ) -> None:
        super().__init__()
        _check_grid("PoissonEncoder", seq_length, dt)
        if not 0.0 <= max_rate * dt <= 1.0 + 1e-12:
            raise ValueError(f"PoissonEncoder: max_rate must lie in [0, 1/dt], got {max_rate}")
        self.seq_length = seq_length
        self.probability = min(max_rate * dt, 1.0)
        self.generator = generator

    def forward(self, intensity: Tensor) -> Tensor:
        probability = (intensity.to(torch.float32) * self.probability).expand([self.seq_length] + list(intensity.shape))
        return torch.bernoulli(probability, generator=self.generator)


class LatencyEncoder(torch.nn.Module):
    """One spike per channel, the stronger the earlier: `step = round((t_late - x * (t_late - t_early)) / dt)`.

    `forward(intensity [batch, channel] in [0, 1]) -> spikes [time, batch, channel]`. Intensities up to the threshold
    give no spike.

    Args:
        seq_length: Number of time steps, at least 1.
        t_early: Time of the spike for x = 1 [s].
        t_late: Time of the spike for x = 0 [s].
        dt: Time step [s], above 0.
        threshold: Largest intensity without a spike.

    Raises:
        RuntimeError: a spike falls outside the sequence.

    Note:
        The check reads numbers, so on CUDA it waits for the device.

    Example:
        >>> LatencyEncoder(10, t_early=1e-6, t_late=9e-6)(torch.tensor([[1.0, 0.5, 0.0]])).argmax(0)
        tensor([[1, 5, 0]])
    """

    def __init__(
        self, seq_length: int, t_early: float, t_late: float, dt: float = 1e-6, threshold: float = 0.0
    ) -> None:
        super().__init__()
        _check_grid("LatencyEncoder", seq_length, dt)
        self.threshold = float(threshold)
        self.linear = CoordinatesToSpikes(seq_length, t_late, t_early, dt)

    def forward(self, intensity: Tensor) -> Tensor:
        spikes: Tensor = self.linear(intensity)
        return spikes * (intensity > self.threshold)


class DeltaEncoder(torch.nn.Module):
    """Spikes for changes: `level[t] = round((x[t] - x[0]) / threshold)`, and a spike for each level gained or lost.

    `forward(signal [time, batch, channel]) -> spikes [time, batch, 2 * channel]`: counts, the channels of gains first,
    then those of losses. `x[0] + threshold * cumsum(gains - losses)` follows the signal within half a threshold.

    Args:
        threshold: Height of a level, above 0.

    Source:
        Send-on-delta sampling, Miskowicz 2006, doi 10.3390/s6010049, with fixed levels.

    Example:
        >>> DeltaEncoder(1.0)(torch.tensor([0.0, 2.0, 1.0]).reshape(3, 1, 1)).squeeze(1)
        tensor([[0., 0.],
                [2., 0.],
                [0., 1.]])
    """

    def __init__(self, threshold: float) -> None:
        super().__init__()
        if not (math.isfinite(threshold) and threshold > 0.0):
            raise ValueError(f"DeltaEncoder: threshold must be finite and above 0, got {threshold}")
        self.threshold = float(threshold)

    def forward(self, signal: Tensor) -> Tensor:
        levels = torch.round((signal - signal[:1]) / self.threshold)
        change = torch.cat([torch.zeros_like(levels[:1]), levels[1:] - levels[:-1]])
        return torch.cat([change.clamp(min=0.0), change.clamp(max=0.0).abs()], dim=-1).to(torch.float32)


class MaxOverTime(torch.nn.Module):
    """Largest value over time: `[time, batch, neuron] -> [batch, neuron]`; ties share the gradient evenly.

    Example:
        >>> MaxOverTime()(torch.tensor([1.0, 3.0, 2.0]).reshape(3, 1, 1))
        tensor([[3.]])
    """

    def forward(self, traces: Tensor) -> Tensor:
        return torch.amax(traces, 0)


class SumOverTime(torch.nn.Module):
    """Sum over time: `[time, batch, neuron] -> [batch, neuron]`.

    Example:
        >>> SumOverTime()(torch.tensor([1.0, 3.0, 2.0]).reshape(3, 1, 1))
        tensor([[6.]])
    """

    def forward(self, traces: Tensor) -> Tensor:
        return torch.sum(traces, 0)


class MeanOverTime(torch.nn.Module):
    """Mean over time: `[time, batch, neuron] -> [batch, neuron]`.

    Example:
        >>> MeanOverTime()(torch.tensor([1.0, 3.0, 2.0]).reshape(3, 1, 1))
        tensor([[2.]])
    """

    def forward(self, traces: Tensor) -> Tensor:
        return torch.mean(traces, 0)


def _spikes_at(steps: Tensor, seq_length: int) -> Tensor:
    """One spike per channel at `steps` [batch, channel]: `[seq_length, batch, channel]`."""
    spikes = torch.zeros([seq_length] + list(steps.shape), dtype=torch.float32, device=steps.device)
    return spikes.scatter_(0, steps.unsqueeze(0), 1.0)


def _check_grid(kind: str, seq_length: int, dt: float) -> None:
    if isinstance(seq_length, bool) or not isinstance(seq_length, int) or seq_length < 1:
        raise ValueError(f"{kind}: seq_length must be a whole number of at least 1, got {seq_length!r}")
    if not (math.isfinite(dt) and dt > 0.0):
        raise ValueError(f"{kind}: dt must be finite and above 0, got {dt}")
