"""784-256-10 in five runs of one chip, in the way of hxtorch: a network that is larger than the chip, in parts.

A hidden neuron with 784 signed inputs needs seven neuron circuits, so that a chip holds 64 of them. The hidden layer is
therefore four parts, each in an execution instance of its own, and the readout is a fifth, whose four projections add
up. Data are scikit-learn's digits, enlarged to 28 x 28; a pixel spikes once, the brighter the earlier. The network is
trained in simulation, deployed, and trained a little further with the chip in the loop. Run it with
`python -m gradspike.examples.spiking_partitioned`.
"""

import argparse
import functools
import sys
import time
from dataclasses import dataclass
from typing import Any, Dict, Optional, Sequence, Tuple

import torch
from torch import Tensor

import gradspike.spiking as hxsnn
from gradspike.examples import digits, spiking_training
from gradspike.examples.spiking_training import neuron_values, new_experiment, train
from gradspike.examples.yinyang_training import accuracy
from gradspike.spiking.transforms.decode import MaxOverTime
from gradspike.spiking.transforms.weight_transforms import linear_saturating
from gradspike.transforms import LatencyEncoder

__all__ = ["PartitionedModel", "Settings", "evaluate", "load_data", "main", "train"]

DT = 1e-6
NUM_STEPS = 30
T_EARLY, T_LATE = 1e-6, 20e-6
DARK = 0.1
"""Brightness up to which a pixel gives no spike."""
SIDE = 28
PARTS, PART_SIZE, CLASSES = 4, 64, 10
TAU_MEM, TAU_SYN = 6e-6, 5.7e-6
WEIGHT_SCALE = 128.0
"""LSB per unit of weight: trained weights stay below 0.5, which is 64 LSB."""

LEAK, THRESHOLD = (0.0, 80.0), (1.0, 120.0)
"""In the model, and as readings of the chip's converter [LSB]."""
HIDDEN_INIT, READOUT_INIT = (0.01, 0.05), (0.05, 0.1)
"""Mean and standard deviation. The mean of the readout is positive, so that no class is silent at first."""

SCORE_GAIN = 3.0


@dataclass(frozen=True)
class Settings(spiking_training.Settings):
    """Settings of this network, see `spiking_training.Settings`."""

    epochs: int = 8
    batch_size: int = 100
    learning_rate: float = 1e-3


class PartitionedModel(torch.nn.Module):
    """`forward(spikes [30, batch, 784]) -> scores [batch, 10]`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.experiment = new_experiment(settings, DT)
        self.hidden_synapses = torch.nn.ModuleList()
        self.hidden = torch.nn.ModuleList()
        self.readout_synapses = torch.nn.ModuleList()
        for part in range(PARTS):
            name = f"hidden{part}"
            self.hidden_synapses.append(self._synapse(SIDE * SIDE, PART_SIZE, HIDDEN_INIT, part, name))
            self.hidden.append(hxsnn.LIF(PART_SIZE, self.experiment, name=name, **self._neurons(part)))
            self.readout_synapses.append(self._synapse(PART_SIZE, CLASSES, READOUT_INIT, PARTS, f"readout{part}"))
        self.readout = hxsnn.LI(CLASSES, self.experiment, name="readout", **self._neurons(PARTS))
        self.decoder = MaxOverTime()

    def _synapse(self, inputs: int, outputs: int, init: Tuple[float, float], instance: int, name: str) -> hxsnn.Synapse:
        transform = functools.partial(linear_saturating, scale=WEIGHT_SCALE)
        synapse = hxsnn.Synapse(
            inputs, outputs, self.experiment, transform=transform, execution_instance=instance, name=name
        )
        torch.nn.init.normal_(synapse.weight, *init)
        return synapse

    @staticmethod
    def _neurons(instance: int) -> Dict[str, Any]:
        return {**neuron_values(LEAK, THRESHOLD, TAU_MEM, TAU_SYN), "execution_instance": instance}

    def forward(self, spikes: Tensor) -> Tensor:
        inputs = hxsnn.LIFObservables(spikes=spikes)
        for first, neurons, second in zip(self.hidden_synapses, self.hidden, self.readout_synapses):
            # Each call of the readout adds a projection to its inputs; the last handle holds the sum of all.
            readout = self.readout(second(neurons(first(inputs))))
        hxsnn.run(self.experiment, NUM_STEPS)
        scores: Tensor = self.decoder(SCORE_GAIN * readout.membrane_cadc)
        return scores


def load_data(size: Optional[int] = None) -> digits.Data:
    """Encoded images, every fifth one for the test; see `gradspike.examples.digits.load_data`."""
    return digits.load_data(size, SIDE, LatencyEncoder(NUM_STEPS, T_EARLY, T_LATE, DT, DARK))


def evaluate(model: torch.nn.Module, data: digits.Data) -> float:
    """Test accuracy."""
    with torch.no_grad():
        return accuracy(model(data.test_spikes), data.test_classes)


def run(options: argparse.Namespace, data: digits.Data) -> None:
    """Trains, deploys, trains in the loop, and prints the table."""
    torch.manual_seed(options.seed)
    simulated = PartitionedModel(Settings(seed=options.seed))
    start = time.perf_counter()
    losses = train(simulated, data, Settings(seed=options.seed, epochs=options.epochs))
    print(f"{SIDE * SIDE}-{PARTS * PART_SIZE}-{CLASSES}, trained in {time.perf_counter() - start:.1f} s")
    print(f"  loss {losses[0]:.3f} in the first epoch, {losses[-1]:.3f} in the last")
    print(f"simulated, float weights       {evaluate(simulated, data):.4f}")
    on_chip = Settings(False, options.backend, options.preset, options.seed, options.tuning_epochs)
    deployed = PartitionedModel(on_chip)
    deployed.load_state_dict(simulated.state_dict())
    place = f"{options.backend}, {options.preset}: "
    print(f"{place}deployed     {evaluate(deployed, data):.4f}")
    if options.tuning_epochs:
        start = time.perf_counter()
        train(deployed, data, on_chip)
        seconds = time.perf_counter() - start
        print(f"{place}in the loop  {evaluate(deployed, data):.4f}   ({seconds:.1f} s)")
    if deployed.experiment.mapping is not None:
        print(f"\n{deployed.experiment.mapping.text.rstrip()}")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the example and returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--epochs", type=int, default=8, help="of the training in simulation (%(default)s)")
    parser.add_argument("--tuning-epochs", type=int, default=1, help="with the chip in the loop (%(default)s)")
    parser.add_argument("--backend", default="emulator", help="where the network is deployed (%(default)s)")
    parser.add_argument("--preset", default="ideal", help="preset of the backend, such as calibrated (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and chip (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="few images, one epoch")
    options = parser.parse_args(argv)
    if options.epochs < 1 or options.tuning_epochs < 0:
        parser.error("--epochs must be at least 1 and --tuning-epochs at least 0")
    if options.quick:
        options.epochs = options.tuning_epochs = 1
    torch.set_num_threads(1)
    run(options, load_data(250 if options.quick else None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
