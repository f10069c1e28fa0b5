"""Three sine waves from one spike pattern: a projection and integrators, the first steps in the way of hxtorch.

128 inputs spike at random, the same spikes in each epoch. One projection to three integrators learns weights with which
each membrane follows a sine of its own; the loss is the mean squared distance. `--no-mock` trains with the chip in the
loop: first the resting trace is measured, so that readings become model units, then each epoch runs there. Run it with
`python -m gradspike.examples.spiking_sine`.
"""

import argparse
import functools
import sys
from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Sequence

import torch
from torch import Tensor

import gradspike.spiking as hxsnn
from gradspike.spiking.transforms.weight_transforms import linear_saturating

__all__ = ["Result", "Settings", "SineModel", "main", "spike_pattern", "targets", "train"]

DT = 1e-6
NUM_STEPS = 100
INPUTS, OUTPUTS = 128, 3
SPIKE_PROBABILITY = 0.03
"""Of an input in a step."""

TAU = 6e-6
AMPLITUDE = 0.5
PERIODS = (1.0, 2.0, 3.0)
"""Of the targets in the pattern."""

WEIGHT_SCALE = 63.0
LEAK, THRESHOLD = (0.0, 80.0), (1.0, 150.0)
"""In the model, and as readings of the chip's converter [LSB]; integrators do not spike, but their unit is the same."""


@dataclass(frozen=True)
class Settings:
    """Choices of a run.

    Attributes:
        epochs: Steps of Adam.
        seed: Seed of the spikes, of the initial weights, and of the chip.
        mock: Whether to simulate.
        backend: Backend without `mock`; None: the one that GRADSPIKE_BACKEND names, else the emulator.
        preset: Preset of the backend.
        learning_rate: Adam's rate.
    """

    epochs: int = 200
    seed: int = 0
    mock: bool = True
    backend: Optional[str] = "emulator"
    preset: str = "ideal"
    learning_rate: float = 2e-3


class SineModel(torch.nn.Module):
    """`forward(spikes [100, batch, 128]) -> membranes [100, batch, 3]`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.experiment = hxsnn.Experiment(
            mock=settings.mock, dt=DT, backend=settings.backend, preset=settings.preset, seed=settings.seed
        )
        transform = functools.partial(linear_saturating, scale=WEIGHT_SCALE)
        self.synapse = hxsnn.Synapse(INPUTS, OUTPUTS, self.experiment, transform=transform)
        self.readout = hxsnn.LI(
            OUTPUTS,
            self.experiment,
            leak=hxsnn.MixedHXModelParameter(*LEAK),
            threshold=hxsnn.MixedHXModelParameter(*THRESHOLD),
            tau_mem=TAU,
            tau_syn=TAU,
            trace_scale=(THRESHOLD[0] - LEAK[0]) / (THRESHOLD[1] - LEAK[1]),
        )
        torch.nn.init.normal_(self.synapse.weight, 0.0, 0.1)

    def forward(self, spikes: Tensor) -> Tensor:
        handle = self.readout(self.synapse(hxsnn.LIFObservables(spikes=spikes)))
        hxsnn.run(self.experiment, NUM_STEPS)
        membrane: Tensor = handle.membrane_cadc
        return membrane

    def measure_rest(self) -> Tensor:
        """Mean reading of each neuron without input [LSB], which becomes its trace offset."""
        scale, self.readout.trace_scale = self.readout.trace_scale, 1.0
        self.readout.trace_offset = 0.0
        with torch.no_grad():
            resting: Tensor = self(torch.zeros(NUM_STEPS, 20, INPUTS)).mean((0, 1))
        self.readout.trace_scale, self.readout.trace_offset = scale, resting
        return resting


def spike_pattern() -> Tensor:
    """Spikes `[100, 1, 128]`, independent in each step."""
    return (torch.rand(NUM_STEPS, 1, INPUTS) < SPIKE_PROBABILITY).float()


def targets() -> Tensor:
    """Sines `[100, 1, 3]`."""
    phase = 2.0 * torch.pi * torch.arange(NUM_STEPS) / NUM_STEPS
    return AMPLITUDE * torch.sin(torch.outer(phase, torch.tensor(PERIODS))).unsqueeze(1)


class Result(NamedTuple):
    """Outcome of a training.

    Attributes:
        model: The trained network.
        membranes: Its last membranes `[100, 1, 3]`.
        losses: Mean squared distance before each step, and after the last.
        resting: Readings without input that were measured [LSB]; None where the network was simulated.
    """

    model: SineModel
    membranes: Tensor
    losses: List[float]
    resting: Optional[Tensor]


def train(settings: Settings) -> Result:
    """Trains a new network."""
    torch.manual_seed(settings.seed)
    spikes, wanted = spike_pattern(), targets()
    model = SineModel(settings)
    resting = None if settings.mock else model.measure_rest()
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    losses: List[float] = []
    for _ in range(settings.epochs):
        loss = torch.nn.functional.mse_loss(model(spikes), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    with torch.no_grad():
        membranes = model(spikes)
    losses.append(float(torch.nn.functional.mse_loss(membranes, wanted)))
    return Result(model, membranes, losses, resting)


def explained(result: Result) -> List[float]:
    """By output the share of the target's variance that the membrane explains."""
    wanted = targets()
    left = (result.membranes - wanted).square().mean((0, 1)) / wanted.square().mean((0, 1))
    return [float(1.0 - part) for part in left]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the example and returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--epochs", type=int, default=200, help="steps of Adam (%(default)s)")
    parser.add_argument(
        "--mock",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="simulate; --no-mock trains with the backend in the loop (%(default)s)",
    )
    parser.add_argument("--backend", default="emulator", help="backend without mock (%(default)s)")
    parser.add_argument("--preset", default="ideal", help="preset of the backend, such as calibrated (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of spikes, weights and chip (%(default)s)")
    options = parser.parse_args(argv)
    if options.epochs < 1:
        parser.error(f"--epochs must be at least 1, got {options.epochs}")
    torch.set_num_threads(1)
    result = train(Settings(options.epochs, options.seed, options.mock, options.backend, options.preset))
    if result.resting is not None:
        print(f"readings at rest [LSB]: {', '.join(f'{value:.1f}' for value in result.resting.tolist())}")
    step = max(1, options.epochs // 5)
    for epoch in range(0, options.epochs, step):
        print(f"epoch {epoch:4}, mean squared distance {result.losses[epoch]:.4f}")
    print(f"after {options.epochs} epochs, mean squared distance {result.losses[-1]:.4f}")
    for periods, share in zip(PERIODS, explained(result)):
        print(f"  {periods:g} periods: {100 * share:.1f} % of the variance explained")
    return 0


if __name__ == "__main__":
    sys.exit(main())
