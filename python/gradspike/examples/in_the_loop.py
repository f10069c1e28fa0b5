"""Training in the loop: what deployment loses on an imperfect chip, and what training on it regains.

Trains Yin-Yang 5-120-3 with hardware integers, runs it on several chips of the analog emulator, trains it further on
each of them with measured spikes and membranes, and prints the accuracies. Run it with
`python -m gradspike.examples.in_the_loop`.
"""

import argparse
import copy
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from typing import List, Optional, Sequence

import torch

import gradspike
from gradspike.examples import yinyang_training as training

__all__ = ["Chip", "evaluate", "main", "run", "tune"]


@dataclass(frozen=True)
class Chip:
    """Test accuracies on one chip.

    Attributes:
        seed: Seed of the chip.
        deployed: The network as it was trained without the chip.
        in_the_loop: After further training on the chip.
        seconds: Wall time of that training.
    """

    seed: int
    deployed: float
    in_the_loop: float
    seconds: float


def evaluate(network: training.YinYangNetwork, data: training.Data, preset: str, seed: int, trial: int = 0) -> float:
    """Test accuracy on one chip of the emulator."""
    deployed = gradspike.chip.deploy(network, "emulator", preset, seed)
    scores = deployed(data.test_spikes, seed=trial).outputs
    return training.accuracy(scores, data.test_classes)


def tune(
    network: training.YinYangNetwork, data: training.Data, preset: str, seed: int, settings: training.Settings
) -> training.YinYangNetwork:
    """A copy of the network, trained further with one chip in the loop. The rate falls to 0 along a half cosine."""
    network = copy.deepcopy(network)
    loop = gradspike.chip.in_the_loop(network, "emulator", preset, seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    batches = len(data.train_classes) // settings.batch_size
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * batches)
    torch.manual_seed(settings.seed)
    for _ in range(settings.epochs):
        order = torch.randperm(len(data.train_classes))[: batches * settings.batch_size]
        for chosen in order.split(settings.batch_size):
            loss = training.loss_of(loop(data.train_spikes[:, chosen]), data.train_classes[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network


def run(options: argparse.Namespace, data: training.Data) -> List[Chip]:
    """Trains once, then deploys and tunes on each chip; prints the table."""
    settings = training.Settings(epochs=options.epochs, seed=options.seed)
    network = training.train("half_even", data, settings, "hardware integers").network
    floating = training.train("none", data, settings, "float weights").network
    with torch.no_grad():
        simulated = training.accuracy(network(data.test_spikes), data.test_classes)
        in_float = training.accuracy(floating(data.test_spikes), data.test_classes)
    print(f"\nfloat weights, simulation      {in_float:.4f}")
    print(f"hardware integers, simulation  {simulated:.4f}")
    print(f"emulator ideal                 {evaluate(network, data, 'ideal', 0):.4f}")
    print(f"emulator noiseless             {evaluate(network, data, 'noiseless', 0):.4f}")
    tuning = training.Settings(options.tuning_epochs, options.seed, learning_rate=options.learning_rate)
    print(f"\nemulator {options.preset}\n  chip   deployed   in the loop")
    chips = []
    for seed in range(options.chips):
        deployed = evaluate(network, data, options.preset, seed)
        start = time.perf_counter()
        tuned = tune(network, data, options.preset, seed, tuning)
        seconds = time.perf_counter() - start
        chips.append(Chip(seed, deployed, evaluate(tuned, data, options.preset, seed, trial=1), seconds))
        print(f"  {seed:4}   {deployed:8.4f}   {chips[-1].in_the_loop:11.4f}   ({seconds:.1f} s)", flush=True)
    before = [chip.deployed for chip in chips]
    after = [chip.in_the_loop for chip in chips]
    print(f"  mean   {statistics.mean(before):8.4f}   {statistics.mean(after):11.4f}")
    print(f"  worst  {min(before):8.4f}   {min(after):11.4f}")
    return chips


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the example and returns 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--epochs", type=int, default=30, help="of the training without a chip (%(default)s)")
    parser.add_argument("--tuning-epochs", type=int, default=4, help="with the chip in the loop (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="with the chip in the loop (%(default)s)")
    parser.add_argument("--preset", default="calibrated", help="of the emulator (%(default)s)")
    parser.add_argument("--chips", type=int, default=5, help="number of chips, seeds 0, 1, ... (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (%(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the accuracies")
    parser.add_argument("--quick", action="store_true", help="few samples, one epoch each, one chip")
    options = parser.parse_args(argv)
    sizes = (5000, 1000)
    if options.quick:
        sizes = (500, 200)
        options.epochs, options.tuning_epochs, options.chips = 1, 1, 1
    chips = run(options, training.load_data(*sizes))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"preset": options.preset, "chips": [asdict(chip) for chip in chips]}, file, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
