"""The Yin-Yang network: data, modules and training.

Sizes, encoder and loss are those of hxtorch's example. Weights start from a normal distribution that makes hidden
neurons fire, and scales are chosen so that few trained weights reach the bounds of 63 LSB.
"""

import math
import time
from dataclasses import dataclass, field
from typing import Dict, List, Tuple

import torch
from torch import Tensor

from gradspike import _progress, nn
from gradspike.datasets import YinYangDataset
from gradspike.transforms import CoordinatesToSpikes, MaxOverTime

__all__ = ["Data", "Settings", "Training", "YinYangNetwork", "accuracy", "load_data", "train", "training_step"]

NUM_STEPS = 38
DT = 1e-6
T_EARLY, T_LATE, T_BIAS = 2e-6, 26e-6, 2e-6
SIZES = (5, 120, 3)
TAU = 6e-6

HIDDEN_SCALE = 24.0
"""LSB per unit of weight: 63 / 24 = 2.6 is 3.6 standard deviations above the initial mean, room for training."""

READOUT_SCALE = 32.0

HIDDEN_INIT = (0.8, 0.5)
"""Mean and standard deviation: the mean lets two or three coincident inputs reach the threshold of 1."""

READOUT_INIT = (0.1, 0.1)
"""A membrane that never rises above its start gives the maximum 0 and no gradient: with mean 0 a readout neuron can
fall silent in the first epochs and its class is lost; the positive mean keeps all three above the start."""

SCORE_GAIN = 10.0
"""Scores are the largest membrane times this, so that cross entropy saturates at membranes of order 1."""

SCORE_PENALTY = 4e-4
"""Weight of the mean squared score in the loss: keeps the readout membranes in the range of the chip's ADC."""


@dataclass(frozen=True)
class Settings:
    """Choices of a training run.

    Attributes:
        epochs: Passes over the training set, at least 1.
        seed: Seed of the initial weights and of the order of samples.
        batch_size: Samples per step.
        learning_rate: Adam's rate at the start; it falls to 0 along a half cosine.
    """

    epochs: int = 30
    seed: int = 0
    batch_size: int = 50
    learning_rate: float = 5e-3


@dataclass(frozen=True)
class Data:
    """Encoded samples: spikes `[time, sample, 5]` and classes `[sample]`."""

    train_spikes: Tensor
    train_classes: Tensor
    test_spikes: Tensor
    test_classes: Tensor


@dataclass
class Training:
    """A trained network with its history, one value per epoch.

    Attributes:
        network: The network, in training mode.
        seconds: Wall time of the training.
        history: "loss", "accuracy" (training set, while training), "test accuracy" and "firing rate" (hidden spikes per
            neuron and step).
    """

    network: "YinYangNetwork"
    seconds: float = 0.0
    history: Dict[str, List[float]] = field(default_factory=dict)


class YinYangNetwork(torch.nn.Module):
    """`forward(spikes [38, batch, 5]) -> scores [batch, 3]`: 120 LIF neurons, 3 leaky integrators, maximum over time.

    Args:
        rounding: "half_even" for the integers of the chip in the forward pass, "none" for float weights.
        hidden: Number of hidden neurons.
    """

    def __init__(self, rounding: str = "half_even", hidden: int = SIZES[1]) -> None:
        super().__init__()
        inputs, _, classes = SIZES
        self.hidden_synapse = nn.Synapse(inputs, hidden, name="hidden", scale=HIDDEN_SCALE, rounding=rounding)
        self.hidden = nn.LIF(hidden, name="hidden", tau_mem=TAU, tau_syn=TAU, membrane_capacitance=TAU, dt=DT)
        self.readout_synapse = nn.Synapse(hidden, classes, name="readout", scale=READOUT_SCALE, rounding=rounding)
        self.readout = nn.LI(classes, name="readout", tau_mem=TAU, tau_syn=TAU, dt=DT)
        self.decoder = MaxOverTime()
        self.score_gain = SCORE_GAIN
        torch.nn.init.normal_(self.hidden_synapse.weight, *HIDDEN_INIT)
        torch.nn.init.normal_(self.readout_synapse.weight, *READOUT_INIT)

    def forward(self, spikes: Tensor) -> Tensor:
        hidden = self.hidden(self.hidden_synapse(spikes))
        membrane = self.readout(self.readout_synapse(hidden))
        scores: Tensor = self.decoder(membrane)
        return scores * self.score_gain


def load_data(train_size: int = 5000, test_size: int = 1000) -> Data:
    """The data set with the seeds of hxtorch's example, encoded: training seed 42, test seed 41."""
    train_spikes, train_classes = _encode(YinYangDataset(size=train_size, seed=42))
    test_spikes, test_classes = _encode(YinYangDataset(size=test_size, seed=41))
    return Data(train_spikes, train_classes, test_spikes, test_classes)


def _encode(dataset: YinYangDataset) -> Tuple[Tensor, Tensor]:
    points, labels = zip(*(dataset[index] for index in range(len(dataset))))
    coordinates = torch.stack([torch.from_numpy(point) for point in points])
    encoder = CoordinatesToSpikes(NUM_STEPS, T_EARLY, T_LATE, DT, T_BIAS)
    return encoder(coordinates), torch.tensor(labels)


def accuracy(scores: Tensor, classes: Tensor) -> float:
    """Share of the samples whose largest score is that of their class."""
    return float((scores.argmax(1) == classes).double().mean())


def loss_of(scores: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy and a penalty on large scores."""
    return torch.nn.functional.cross_entropy(scores, classes) + SCORE_PENALTY * scores.square().mean()


def training_step(
    recorder: nn.Recorder, optimizer: torch.optim.Optimizer, spikes: Tensor, classes: Tensor
) -> Tuple[float, float, float]:
    """One step of Adam on one batch: `(loss, accuracy, hidden spikes per neuron and step)`."""
    scores = recorder(spikes)
    loss = loss_of(scores, classes)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    rate = recorder.spikes["hidden"].detach().mean()
    return float(loss.detach()), accuracy(scores.detach(), classes), float(rate)


def train(rounding: str, data: Data, settings: Settings, title: str, hidden: int = SIZES[1]) -> Training:
    """Trains a new network and shows a progress bar.

    Args:
        rounding: See `YinYangNetwork`.
        data: Encoded samples.
        settings: Epochs, seed, batch size and learning rate.
        title: Text before the bar.
        hidden: See `YinYangNetwork`.
    """
    torch.manual_seed(settings.seed)
    training = Training(YinYangNetwork(rounding, hidden))
    recorder = nn.Recorder(training.network)
    optimizer = torch.optim.Adam(training.network.parameters(), lr=settings.learning_rate)
    batches = len(data.train_classes) // settings.batch_size
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * batches)
    progress = _Progress(title, settings.epochs, batches)
    start = time.perf_counter()
    for _ in range(settings.epochs):
        order = torch.randperm(len(data.train_classes))[: batches * settings.batch_size]
        means = _Means()
        for chosen in order.split(settings.batch_size):
            means.add(training_step(recorder, optimizer, data.train_spikes[:, chosen], data.train_classes[chosen]))
            schedule.step()
            progress.step(means)
        with torch.no_grad():
            test_accuracy = accuracy(training.network(data.test_spikes), data.test_classes)
        _append(training.history, means, test_accuracy)
        progress.end_epoch(means)
    training.seconds = time.perf_counter() - start
    progress.close()
    return training


class _Means:
    """Running means of loss, accuracy and firing rate over an epoch."""

    def __init__(self) -> None:
        self.count = 0
        self.sums = (0.0, 0.0, 0.0)

    def add(self, values: Tuple[float, float, float]) -> None:
        self.count += 1
        self.sums = (self.sums[0] + values[0], self.sums[1] + values[1], self.sums[2] + values[2])

    @property
    def values(self) -> Tuple[float, float, float]:
        loss, accuracy, rate = self.sums
        return loss / self.count, accuracy / self.count, rate / self.count

    def __str__(self) -> str:
        loss, accuracy, rate = self.values
        return f"loss {loss:.3f}, accuracy {accuracy:.3f}, firing {100 * rate:.1f} %"


def _append(history: Dict[str, List[float]], means: _Means, test_accuracy: float) -> None:
    loss, train_accuracy, rate = means.values
    values = {"loss": loss, "accuracy": train_accuracy, "test accuracy": test_accuracy, "firing rate": rate}
    if not all(math.isfinite(value) for value in values.values()):
        raise RuntimeError(f"training diverged: {means}")
    for name, value in values.items():
        history.setdefault(name, []).append(value)


class _Progress:
    """A bar on a terminal where tqdm is installed, else a line per epoch."""

    def __init__(self, title: str, epochs: int, batches: int) -> None:
        self.title = title
        self.epochs = epochs
        self.epoch = 0
        if not _progress.has_tqdm():
            print(f"{title}: tqdm is not installed, so each epoch prints a line")
        self.bar = _progress.Bar(epochs * batches, title, "step")

    def step(self, means: _Means) -> None:
        if self.bar.visible:
            self.bar.advance(str(means))

    def end_epoch(self, means: _Means) -> None:
        self.epoch += 1
        if not self.bar.visible:
            print(f"{self.title}: epoch {self.epoch} of {self.epochs}, {means}", flush=True)

    def close(self) -> None:
        self.bar.close()
