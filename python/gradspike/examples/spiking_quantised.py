"""A synapse of your own, in the way of hxtorch: weights on the grid of the chip, saturating smoothly.

`QuantisedSynapse` overrides `forward_func` with `linear_exponential_clamp`: weights approach the largest of the chip
exponentially, so that they keep a gradient there, and are rounded to its grid. Its `transform` gives the same weights
in LSB, which is what the chip holds, so that simulation and chip compute the same. The network 64-100-10 learns
scikit-learn's digits; it is trained in simulation, deployed, and compared spike by spike. Run it with
`python -m gradspike.examples.spiking_quantised`.
"""

import argparse
import functools
import sys
import time
from dataclasses import dataclass
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

import gradspike.spiking as hxsnn
from gradspike.examples import digits, spiking_training
from gradspike.examples.spiking_training import neuron_values, new_experiment, train
from gradspike.examples.yinyang_training import accuracy
from gradspike.spiking.functional.linear import clamp_exponentially, linear_exponential_clamp
from gradspike.spiking.transforms.decode import MaxOverTime
from gradspike.transforms import LatencyEncoder

__all__ = ["Comparison", "QuantisedModel", "QuantisedSynapse", "Settings", "compare", "load_data", "main", "train"]

DT = 1e-6
NUM_STEPS = 30
T_EARLY, T_LATE = 1e-6, 20e-6
DARK = 0.1
"""Brightness up to which a pixel gives no spike."""
SIDE, HIDDEN, CLASSES = 8, 100, 10
TAU = 6e-6
LARGEST = 63
"""Largest weight of the chip [LSB]."""
WEIGHT_SCALE = 128.0
"""LSB per unit of weight; a power of two, so that products of the rounded weights are exact."""
LEAK, THRESHOLD = (0.0, 80.0), (1.0, 144.0)
"""In the model, and as readings of the chip's converter [LSB]; 64 LSB apart, so that readings become model units
without rounding."""
HIDDEN_INIT, READOUT_INIT = (0.1, 0.15), (0.1, 0.1)
"""Mean and standard deviation; the means are positive, so that no neuron is silent for good."""


@dataclass(frozen=True)
class Settings(spiking_training.Settings):
    """Settings of this network, see `spiking_training.Settings`."""

    epochs: int = 15
    batch_size: int = 50
    learning_rate: float = 5e-3


def chip_weight(weight: Tensor, scale: float) -> Tensor:
    """The clamped weight in LSB; the chip holds it rounded."""
    return clamp_exponentially(weight, LARGEST / scale, start_weight=0) * scale


class QuantisedSynapse(hxsnn.Synapse):
    """`Synapse` that simulates with weights on the grid of the chip; they approach 63 LSB exponentially.

    Args:
        in_features: Number of pre-synaptic neurons.
        out_features: Number of post-synaptic neurons.
        experiment: The experiment.
        scale: LSB per unit of weight.
        name: Name on the chip.
    """

    def __init__(
        self, in_features: int, out_features: int, experiment: Any, scale: float, name: Optional[str] = None
    ) -> None:
        transform = functools.partial(chip_weight, scale=scale)
        super().__init__(in_features, out_features, experiment, transform=transform, weight_scale=scale, name=name)
        self.cap = LARGEST / scale

    def forward_func(self, input: Any) -> Any:
        """The handle of the graded spikes, by the rounded weights."""
        return hxsnn.SynapseHandle(
            graded_spikes=linear_exponential_clamp(
                input.spikes, self.weight, cap=self.cap, start_weight=0, quantize=True
            )
        )


class QuantisedModel(torch.nn.Module):
    """`forward(spikes [30, batch, 64]) -> scores [batch, 10]`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.experiment = new_experiment(settings, DT)
        values = neuron_values(LEAK, THRESHOLD, TAU, TAU)
        self.hidden_synapse = QuantisedSynapse(SIDE * SIDE, HIDDEN, self.experiment, WEIGHT_SCALE, "hidden")
        self.hidden = hxsnn.LIF(HIDDEN, self.experiment, name="hidden", **values)
        self.readout_synapse = QuantisedSynapse(HIDDEN, CLASSES, self.experiment, WEIGHT_SCALE, "readout")
        self.readout = hxsnn.LI(CLASSES, self.experiment, name="readout", **values)
        self.decoder = MaxOverTime()
        torch.nn.init.normal_(self.hidden_synapse.weight, *HIDDEN_INIT)
        torch.nn.init.normal_(self.readout_synapse.weight, *READOUT_INIT)

    def observe(self, spikes: Tensor) -> Tuple[Tensor, Tensor]:
        """Hidden spikes `[30, batch, 100]` and membranes of the readout `[30, batch, 10]`."""
        hidden = self.hidden(self.hidden_synapse(hxsnn.LIFObservables(spikes=spikes)))
        readout = self.readout(self.readout_synapse(hidden))
        hxsnn.run(self.experiment, NUM_STEPS)
        return hidden.spikes, readout.membrane_cadc

    def forward(self, spikes: Tensor) -> Tensor:
        scores: Tensor = self.decoder(3.0 * self.observe(spikes)[1])
        return scores


class Comparison(NamedTuple):
    """The same weights in simulation and on a backend.

    Attributes:
        simulated: Test accuracy in simulation.
        deployed: Test accuracy on the backend.
        spikes: Hidden spikes of the test set, in simulation.
        spikes_differ: Places where spikes of simulation and backend differ.
        membranes_differ: Largest distance of the readout membranes.
    """

    simulated: float
    deployed: float
    spikes: int
    spikes_differ: int
    membranes_differ: float


def load_data(size: Optional[int] = None) -> digits.Data:
    """Encoded images, every fifth one for the test; see `gradspike.examples.digits.load_data`."""
    return digits.load_data(size, SIDE, LatencyEncoder(NUM_STEPS, T_EARLY, T_LATE, DT, DARK))


def compare(simulated: QuantisedModel, deployed: QuantisedModel, data: digits.Data) -> Comparison:
    """Runs the test set on both."""
    with torch.no_grad():
        spikes, membranes = simulated.observe(data.test_spikes)
        spikes_there, membranes_there = deployed.observe(data.test_spikes)
    return Comparison(
        accuracy(membranes.amax(0), data.test_classes),
        accuracy(membranes_there.amax(0), data.test_classes),
        int(spikes.sum()),
        int((spikes != spikes_there).sum()),
        float((membranes - membranes_there).abs().max()),
    )


def run(options: argparse.Namespace, data: digits.Data) -> Comparison:
    """Trains, deploys and prints the comparison."""
    torch.manual_seed(options.seed)
    simulated = QuantisedModel(Settings(seed=options.seed))
    start = time.perf_counter()
    losses = train(simulated, data, Settings(seed=options.seed, epochs=options.epochs))
    print(f"{SIDE * SIDE}-{HIDDEN}-{CLASSES}, trained in {time.perf_counter() - start:.1f} s")
    print(f"  loss {losses[0]:.3f} in the first epoch, {losses[-1]:.3f} in the last")
    largest = max(int(synapse.hardware_weight().abs().max()) for synapse in _synapses(simulated))
    print(f"  largest weight {largest} LSB of {LARGEST}")
    deployed = QuantisedModel(Settings(False, options.backend, options.preset, options.seed))
    deployed.load_state_dict(simulated.state_dict())
    result = compare(simulated, deployed, data)
    print(f"simulated, weights on the grid  {result.simulated:.4f}   {result.spikes} hidden spikes")
    print(
        f"{options.backend}, {options.preset:21} {result.deployed:.4f}   {result.spikes_differ} spikes differ, "
        f"membranes by {result.membranes_differ:.3g} at most"
    )
    return result


def _synapses(model: QuantisedModel) -> List[hxsnn.Synapse]:
    return [model.hidden_synapse, model.readout_synapse]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the example and returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--epochs", type=int, default=15, help="of the training in simulation (%(default)s)")
    parser.add_argument("--backend", default="emulator", help="where the network is deployed (%(default)s)")
    parser.add_argument("--preset", default="ideal", help="preset of the backend, such as calibrated (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and chip (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="few images, one epoch")
    options = parser.parse_args(argv)
    if options.epochs < 1:
        parser.error(f"--epochs must be at least 1, got {options.epochs}")
    torch.set_num_threads(1)
    if options.quick:
        options.epochs = 1
    run(options, load_data(250 if options.quick else None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
