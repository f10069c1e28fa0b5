"""256-246-10 on one chip: scikit-learn's digits, trained with hardware integers, mapped and run on the emulators.

All 512 neuron circuits are in use, two for each neuron, as in the published MNIST network of that size. The 8x8 images
are enlarged to 16x16 by bilinear interpolation; a pixel spikes once, the brighter the earlier, and a dark one never.
Run it with `python -m gradspike.examples.digits`.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor

import gradspike
from gradspike import nn
from gradspike.transforms import LatencyEncoder, MaxOverTime

__all__ = ["Data", "DigitsNetwork", "load_data", "main", "train"]

NUM_STEPS = 40
T_EARLY, T_LATE = 2e-6, 22e-6
DARK = 0.1
"""Brightness up to which a pixel gives no spike."""
SIDE = 16
HIDDEN, CLASSES = 246, 10
TAU = 10e-6
SCALE = 128.0
SCORE_GAIN = 5.0
DROPPED = 0.2
"""Share of the pixels that a sample misses while it trains: 1437 images are few."""
TEST_SHARE = 5
"""Every fifth image is kept for the test."""


@dataclass(frozen=True)
class Data:
    """Encoded images: spikes `[time, sample, 256]` and classes `[sample]`."""

    train_spikes: Tensor
    train_classes: Tensor
    test_spikes: Tensor
    test_classes: Tensor


class DigitsNetwork(torch.nn.Module):
    """`forward(spikes [40, batch, 256]) -> scores [batch, 10]`: 246 LIF neurons, 10 leaky integrators, their maximum.

    Args:
        rounding: "half_even" for the integers of the chip in the forward pass, "none" for float weights.
    """

    def __init__(self, rounding: str = "half_even") -> None:
        super().__init__()
        self.hidden_synapse = nn.Synapse(SIDE * SIDE, HIDDEN, name="hidden", scale=SCALE, rounding=rounding)
        self.hidden = nn.LIF(HIDDEN, name="hidden", tau_mem=TAU, tau_syn=TAU)
        self.readout_synapse = nn.Synapse(HIDDEN, CLASSES, name="readout", scale=SCALE, rounding=rounding)
        self.readout = nn.LI(CLASSES, name="readout", tau_mem=TAU, tau_syn=TAU)
        self.decoder = MaxOverTime()
        self.score_gain = SCORE_GAIN
        torch.nn.init.normal_(self.hidden_synapse.weight, 0.01, 0.08)
        torch.nn.init.normal_(self.readout_synapse.weight, 0.02, 0.05)

    def forward(self, spikes: Tensor) -> Tensor:
        hidden = self.hidden(self.hidden_synapse(spikes))
        scores: Tensor = self.decoder(self.readout(self.readout_synapse(hidden)))
        return scores * self.score_gain


def load_data(size: Optional[int] = None, side: int = SIDE, encoder: Optional[torch.nn.Module] = None) -> Data:
    """The images in their order; every fifth one belongs to the test.

    Args:
        size: Number of images, at most 1797; None: all.
        side: Edge of the enlarged images [pixels].
        encoder: From brightness `[sample, side * side]` in [0, 1] to spikes; None: one spike, the brighter the earlier.

    Raises:
        ImportError: scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError("the digits are part of scikit-learn: pip install scikit-learn") from None
    digits = load_digits()
    images = torch.from_numpy(digits.images[:size]).float()[:, None] / 16.0
    enlarged = torch.nn.functional.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
    encoder = encoder or LatencyEncoder(NUM_STEPS, T_EARLY, T_LATE, threshold=DARK)
    spikes = encoder(enlarged.flatten(1))
    classes = torch.from_numpy(digits.target[:size])
    is_test = torch.arange(len(classes)) % TEST_SHARE == TEST_SHARE - 1
    return Data(spikes[:, ~is_test], classes[~is_test], spikes[:, is_test], classes[is_test])


def train(rounding: str, data: Data, epochs: int, seed: int) -> DigitsNetwork:
    """Trains a new network with Adam, batches of 50, and prints its loss."""
    torch.manual_seed(seed)
    network = DigitsNetwork(rounding)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    count = len(data.train_classes)
    for epoch in range(epochs):
        losses: List[float] = []
        for chosen in torch.randperm(count).split(50):
            spikes = data.train_spikes[:, chosen]
            seen = spikes * (torch.rand(spikes.shape[1:]) >= DROPPED)
            loss = torch.nn.functional.cross_entropy(network(seen), data.train_classes[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        print(f"  {rounding}: epoch {epoch + 1} of {epochs}, loss {sum(losses) / len(losses):.4f}", flush=True)
    return network


def _accuracy(scores: Tensor, data: Data) -> float:
    return float((scores.argmax(1) == data.test_classes).double().mean())


def _on_emulator(network: DigitsNetwork, data: Data, preset: str, chip: int) -> Tuple[float, float]:
    """Test accuracy, and the time [s] that the run took."""
    deployed = gradspike.chip.deploy(network, "emulator", preset, chip)
    start = time.perf_counter()
    result = deployed(data.test_spikes)
    return _accuracy(result.outputs, data), time.perf_counter() - start


def run(options: argparse.Namespace, data: Data) -> None:
    """Trains, maps, deploys and prints the table."""
    network = train("half_even", data, options.epochs, options.seed)
    floating = train("none", data, options.epochs, options.seed)
    start = time.perf_counter()
    mapping = gradspike.chip.map(network)
    seconds = time.perf_counter() - start
    print(f"\nread and mapped in {seconds:.2f} s\n{mapping.text.splitlines()[0]}\n")
    with torch.no_grad():
        print(f"float weights, simulation      {_accuracy(floating(data.test_spikes), data):.4f}")
        print(f"hardware integers, simulation  {_accuracy(network(data.test_spikes), data):.4f}")
    for preset, chips in (
        ("ideal", 1),
        ("noiseless", 1),
        ("delgrad-2024", options.chips),
        ("calibrated", options.chips),
    ):
        runs = [_on_emulator(network, data, preset, chip) for chip in range(chips)]
        values = [accuracy for accuracy, _ in runs]
        spread = "" if chips == 1 else f"   {min(values):.4f} to {max(values):.4f} on {chips} chips"
        print(f"emulator {preset:21} {sum(values) / len(values):.4f}{spread}   ({runs[0][1]:.2f} s)")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the example and returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the data (%(default)s)")
    parser.add_argument("--chips", type=int, default=5, help="chips of the presets with noise (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of PyTorch (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="few images, one epoch, one chip")
    options = parser.parse_args(argv)
    if options.quick:
        options.epochs, options.chips = 1, 1
    torch.set_num_threads(options.threads)
    run(options, load_data(200 if options.quick else None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
