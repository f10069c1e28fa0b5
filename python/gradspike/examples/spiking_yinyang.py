"""Yin-Yang in the way of hxtorch: 5-120-3, surrogate gradients or EventProp, simulated or with the chip in the loop.

The network is written with `gradspike.spiking` as one writes it for hxtorch: an experiment, modules that give handles,
`run`. Sizes, encoder, initial weights, loss and optimiser are those of hxtorch's example in its short form. Run it with
`python -m gradspike.examples.spiking_yinyang`.
"""

import argparse
import functools
import sys
import time
from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Sequence

import torch
from torch import Tensor

import gradspike.spiking as hxsnn
from gradspike.examples.yinyang_training import Data, accuracy, load_data, loss_of
from gradspike.spiking.modules import EventPropLIF, EventPropSynapse
from gradspike.spiking.transforms.decode import MaxOverTime
from gradspike.spiking.transforms.weight_transforms import linear_saturating

__all__ = ["Result", "Settings", "YinYangModel", "main", "train"]

DT = 1e-6
NUM_STEPS = 38
CHANNELS, HIDDEN, CLASSES = 5, 120, 3
TAU = 6e-6

REPEATED = 5
"""Synapses for each input on the chip: one synapse is too weak for the weights that the task asks for."""

WEIGHT_SCALE = 70.0
"""LSB per unit of weight."""

LEAK, THRESHOLD = (0.0, 80.0), (1.0, 150.0)
"""In the model, and as readings of the chip's converter [LSB]."""

TRACE_SCALE = 0.0147
"""Model units per LSB of a reading: about 1 over the distance of threshold and leak."""

HIDDEN_MEAN, HIDDEN_MEAN_ON_CHIP, HIDDEN_DEVIATION = 0.8, 0.25, 0.25
READOUT_DEVIATION = 0.1

READOUT_SCALE = 10.0
"""The loss sees the scores times this; gradients pass as they are."""


@dataclass(frozen=True)
class Settings:
    """Choices of a run.

    Attributes:
        epochs: Passes over the training set.
        seed: Seed of the initial weights, of the order of samples, and of the chip.
        eventprop: EventProp in the hidden layer, in the place of surrogate gradients.
        mock: Whether to simulate; else the network runs on the backend and its measurements enter the training.
        hardware_weights: Whether the model computes with the integers of the chip.
        backend: Backend without `mock`; None: the one that GRADSPIKE_BACKEND names, else the emulator.
        preset: Preset of the backend.
        batch_size: Samples per step.
        learning_rate: Adam's rate, times 0.9 after every tenth epoch.
    """

    epochs: int = 5
    seed: int = 0
    eventprop: bool = False
    mock: bool = True
    hardware_weights: bool = False
    backend: Optional[str] = "emulator"
    preset: str = "ideal"
    batch_size: int = 50
    learning_rate: float = 2e-3

    @property
    def has_integers(self) -> bool:
        """Whether weights pass through the range of a synapse."""
        return self.hardware_weights or not self.mock


class YinYangModel(torch.nn.Module):
    """`forward(spikes [38, batch, 5]) -> scores [batch, 3]`: LIF neurons, leaky integrators, maximum over time.

    Where weights are those of the chip, each input has five synapses, and `fit_to_chip` keeps weights in their range.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.repeated = REPEATED if settings.has_integers else 1
        self.experiment = hxsnn.Experiment(
            mock=settings.mock,
            dt=DT,
            hardware_weights=settings.hardware_weights,
            backend=settings.backend,
            preset=settings.preset,
            seed=settings.seed,
        )
        experiment = self.experiment
        first_synapse = EventPropSynapse if settings.eventprop else hxsnn.Synapse
        first_neurons = EventPropLIF if settings.eventprop else hxsnn.LIF
        transform = functools.partial(linear_saturating, scale=WEIGHT_SCALE)
        self.hidden_synapse = first_synapse(CHANNELS * self.repeated, HIDDEN, experiment, transform=transform)
        self.hidden = first_neurons(
            HIDDEN,
            experiment,
            leak=hxsnn.MixedHXModelParameter(*LEAK),
            reset=hxsnn.MixedHXModelParameter(*LEAK),
            threshold=hxsnn.MixedHXModelParameter(*THRESHOLD),
            tau_mem=TAU,
            tau_syn=TAU,
            membrane_capacitance=TAU,
            trace_offset=LEAK[1],
            trace_scale=TRACE_SCALE,
        )
        transform = functools.partial(linear_saturating, scale=WEIGHT_SCALE)
        self.readout_synapse = hxsnn.Synapse(HIDDEN, CLASSES, experiment, transform=transform)
        self.readout = hxsnn.LI(
            CLASSES,
            experiment,
            leak=hxsnn.MixedHXModelParameter(*LEAK),
            tau_mem=TAU,
            tau_syn=TAU,
            trace_offset=LEAK[1],
            trace_scale=TRACE_SCALE,
        )
        self.decoder = MaxOverTime()
        mean = HIDDEN_MEAN_ON_CHIP if settings.has_integers else HIDDEN_MEAN
        torch.nn.init.normal_(self.hidden_synapse.weight, mean, HIDDEN_DEVIATION)
        torch.nn.init.normal_(self.readout_synapse.weight, 0.0, READOUT_DEVIATION)
        self.spikes: Optional[Tensor] = None
        if settings.has_integers:
            self.fit_to_chip()

    def forward(self, spikes: Tensor) -> Tensor:
        inputs = hxsnn.LIFObservables(spikes=spikes.repeat(1, 1, self.repeated))
        hidden = self.hidden(self.hidden_synapse(inputs))
        readout = self.readout(self.readout_synapse(hidden))
        hxsnn.run(self.experiment, NUM_STEPS)
        self.spikes = hidden.spikes.detach()
        scores: Tensor = self.decoder(readout.membrane_cadc)
        scaled: Tensor = hxsnn.functional.Unterjubel.apply(scores, READOUT_SCALE * scores.detach())
        return scaled

    def fit_to_chip(self) -> None:
        """Clips the hidden weights to 63 LSB, and scales the readout weights so that the largest has at most 63 LSB."""
        with torch.no_grad():
            bound = 63.0 / WEIGHT_SCALE
            self.hidden_synapse.weight.clamp_(-bound, bound)
            largest = float(self.readout_synapse.weight.abs().max())
        self.readout_synapse.weight_transform.keywords["scale"] = min(63.0 / largest, WEIGHT_SCALE)


class Result(NamedTuple):
    """Outcome of a training.

    Attributes:
        model: The trained network.
        accuracy: On the test set, on the backend where there is one.
        loss: Mean of the last epoch.
        firing_rate: Spikes per hidden neuron and test sample.
        seconds: Wall time of the training.
    """

    model: YinYangModel
    accuracy: float
    loss: float
    firing_rate: float
    seconds: float


def train(settings: Settings, data: Data) -> Result:
    """Trains a new network and tests it."""
    torch.manual_seed(settings.seed)
    model = YinYangModel(settings)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.9)
    count = len(data.train_classes) // settings.batch_size * settings.batch_size
    losses: List[float] = []
    start = time.perf_counter()
    for _ in range(settings.epochs):
        losses = []
        for chosen in torch.randperm(len(data.train_classes))[:count].split(settings.batch_size):
            loss = loss_of(model(data.train_spikes[:, chosen]), data.train_classes[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if settings.has_integers:
                model.fit_to_chip()
            losses.append(float(loss.detach()))
        schedule.step()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        scores = model(data.test_spikes)
    assert model.spikes is not None
    rate = float(model.spikes.sum(0).mean())
    return Result(model, accuracy(scores, data.test_classes), sum(losses) / len(losses), rate, seconds)


def describe(settings: Settings) -> str:
    """A line that says what is trained, and where."""
    method = "EventProp" if settings.eventprop else "surrogate gradients"
    backend = settings.backend or "the backend of GRADSPIKE_BACKEND, else the emulator"
    where = "simulated" if settings.mock else f"in the loop with {backend}, preset {settings.preset}"
    weights = "integers" if settings.hardware_weights else "float weights"
    return f"Yin-Yang 5-120-3, {method}, {where}, {weights} in the model"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the example and returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--eventprop", action="store_true", help="EventProp in the place of surrogate gradients")
    parser.add_argument(
        "--mock",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="simulate; --no-mock trains with the backend in the loop (%(default)s)",
    )
    parser.add_argument("--backend", default="emulator", help="backend without mock (%(default)s)")
    parser.add_argument("--preset", default="ideal", help="preset of the backend, such as calibrated (%(default)s)")
    parser.add_argument("--hardware-weights", action="store_true", help="the model computes with the chip's integers")
    parser.add_argument("--epochs", type=int, default=5, help="passes over the data (%(default)s)")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="one training for each (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="few samples, one epoch")
    options = parser.parse_args(argv)
    if options.epochs < 1:
        parser.error(f"--epochs must be at least 1, got {options.epochs}")
    torch.set_num_threads(options.threads)
    data = load_data(500, 200) if options.quick else load_data()
    settings = [
        Settings(
            epochs=1 if options.quick else options.epochs,
            seed=seed,
            eventprop=options.eventprop,
            mock=options.mock,
            hardware_weights=options.hardware_weights,
            backend=options.backend,
            preset=options.preset,
        )
        for seed in options.seed
    ]
    print(f"{describe(settings[0])}\n  seed   test accuracy   loss   spikes per neuron   seconds")
    for chosen in settings:
        result = train(chosen, data)
        print(
            f"  {chosen.seed:4}   {result.accuracy:13.4f}   {result.loss:.2f}   {result.firing_rate:17.2f}"
            f"   {result.seconds:7.1f}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
