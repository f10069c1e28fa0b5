"""Yin-Yang in several processes: DistributedDataParallel on gloo, and how far it is from one process.

    python -m torch.distributed.run --nproc-per-node 2 -m gradspike.examples.distributed

Each process takes its share of every batch. The forward pass gives each sample the bits that one process gives it. A
gradient is a sum over the batch, and the processes add theirs in another order than one process adds its samples: it is
equal up to rounding. What is rounded differently can move a weight across the border between two integers, so after
many steps the two networks differ in some weights, as two trainings with other seeds do in all.
"""

import argparse
import gc
import os
import sys
import time
from dataclasses import dataclass
from typing import Any, List, Optional, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

import gradspike
from gradspike.examples import yinyang_training as training

__all__ = ["Comparison", "Settings", "Share", "compare", "main", "train"]


@dataclass(frozen=True)
class Settings:
    """Choices of both trainings.

    Attributes:
        epochs: Passes over the training set.
        samples: Size of the training set.
        batch_size: Samples per step, of all processes together; a multiple of their number.
        seed: Seed of the initial weights and of the order of samples.
        backend: Backend of `torch.compile`; "": not compiled.
    """

    epochs: int = 10
    samples: int = 4800
    batch_size: int = 48
    seed: int = 0
    backend: str = ""


@dataclass(frozen=True)
class Share:
    """Which samples of a batch belong to this process: every `count`-th from `index`."""

    index: int = 0
    count: int = 1

    def of(self, chosen: Tensor) -> Tensor:
        return chosen[self.index :: self.count]


@dataclass
class Trained:
    """A trained network, its first gradient and the wall time."""

    network: training.YinYangNetwork
    first_gradient: List[Tensor]
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """Several processes against one.

    Attributes:
        accuracy: Test accuracy of the network that several processes trained.
        accuracy_alone: Of the one that one process trained.
        spikes_differ: Hidden spikes of the first batch that differ.
        gradient_error: Largest difference of the first gradient, relative to its largest entry.
        integers_differ: Share of the integer weights that differ after training.
        seconds: Wall time of the training in several processes.
        seconds_alone: In one process. Steps of 1 to 2 ms, as here, are too short to gain from a second process.
    """

    accuracy: float
    accuracy_alone: float
    spikes_differ: int
    gradient_error: float
    integers_differ: float
    seconds: float
    seconds_alone: float

    def __str__(self) -> str:
        lines = [
            f"accuracy: {self.accuracy:.3f}, one process {self.accuracy_alone:.3f}, "
            f"difference {100.0 * (self.accuracy - self.accuracy_alone):+.1f} points",
            f"first batch: {self.spikes_differ} hidden spikes differ, gradient differs by {self.gradient_error:.1e}",
            f"integers that differ after training: {100.0 * self.integers_differ:.1f} %",
            f"time: {self.seconds:.1f} s, one process {self.seconds_alone:.1f} s",
        ]
        return "\n".join(lines)


def train(data: training.Data, settings: Settings, share: Share) -> Trained:
    """Trains a new network; with the whole share in this process alone, else with the others of the group.

    Args:
        data: Encoded samples, the same in every process.
        settings: Choices.
        share: What this process computes.
    """
    torch.manual_seed(settings.seed)
    network = training.YinYangNetwork()
    model: Any = network if share.count == 1 else torch.nn.parallel.DistributedDataParallel(network)
    if settings.backend:
        model = torch.compile(model, backend=settings.backend)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    first_gradient: List[Tensor] = []
    start = time.perf_counter()
    for epoch in range(settings.epochs):
        total = torch.zeros(())
        order = torch.randperm(len(data.train_classes))  # the seed gives every process the same
        batches = order[: len(order) // settings.batch_size * settings.batch_size].split(settings.batch_size)
        for chosen in batches:
            mine = share.of(chosen)
            loss = training.loss_of(model(data.train_spikes[:, mine]), data.train_classes[mine])
            optimizer.zero_grad()
            loss.backward()
            first_gradient = first_gradient or [p.grad.clone() for p in network.parameters() if p.grad is not None]
            optimizer.step()
            total += loss.detach()
        if share.count > 1:
            dist.all_reduce(total)
        if share.index == 0:
            where = f"{share.count} processes" if share.count > 1 else "one process"
            mean = float(total) / (share.count * len(batches))
            print(f"{where}: epoch {epoch + 1} of {settings.epochs}, loss {mean:.3f}", flush=True)
    return Trained(network, first_gradient, time.perf_counter() - start)


def hidden_spikes(data: training.Data, settings: Settings, share: Share) -> Tensor:
    """Hidden spikes of the first samples before training: `[time, sample of this process, 120]`."""
    torch.manual_seed(settings.seed)
    network = training.YinYangNetwork()
    with torch.no_grad():
        mine = share.of(torch.arange(settings.batch_size))
        spikes: Tensor = network.hidden(network.hidden_synapse(data.train_spikes[:, mine]))
    return spikes


def compare(data: training.Data, settings: Settings) -> Optional[Comparison]:
    """Trains in all processes of the default group, then in process 0 alone; the comparison there, None elsewhere."""
    share = Share(dist.get_rank(), dist.get_world_size())
    spikes = hidden_spikes(data, settings, share)
    gathered = [torch.empty_like(spikes) for _ in range(share.count)]
    dist.all_gather(gathered, spikes.contiguous())
    together = train(data, settings, share)
    return gradspike.distributed.on_first_process(lambda: _comparison(data, settings, gathered, together))


def _comparison(data: training.Data, settings: Settings, gathered: List[Tensor], together: Trained) -> Comparison:
    alone = train(data, settings, Share())
    spikes = hidden_spikes(data, settings, Share())
    differ = sum(int((part != spikes[:, k :: len(gathered)]).sum()) for k, part in enumerate(gathered))
    errors = [float((a - b).abs().max() / b.abs().max()) for a, b in zip(together.first_gradient, alone.first_gradient)]
    integers = [gradspike.chip.read(trained.network).integers() for trained in (together, alone)]
    unequal = [int((integers[0][name] != integers[1][name]).sum()) for name in integers[0]]
    return Comparison(
        _accuracy(together.network, data),
        _accuracy(alone.network, data),
        differ,
        max(errors),
        sum(unequal) / sum(weights.numel() for weights in integers[0].values()),
        together.seconds,
        alone.seconds,
    )


def _accuracy(network: training.YinYangNetwork, data: training.Data) -> float:
    """On the emulator: only this process deploys."""
    with torch.no_grad():
        deployed = gradspike.chip.deploy(network)
        scores = deployed(data.test_spikes).membrane["readout"].amax(0)
    return training.accuracy(scores, data.test_classes)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The command; every process of torchrun runs it."""
    settings = _settings(argv)
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    else:
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        processes = dist.get_world_size()
        if settings.batch_size % processes != 0:
            sys.exit(f"--batch-size must be a multiple of the {processes} processes, got {settings.batch_size}")
        comparison = compare(training.load_data(settings.samples, 600), settings)
        if comparison is not None:
            print(comparison)
    finally:
        gc.collect()  # a wrapper that is still alive keeps the group's threads, and they fail when Python ends first
        dist.destroy_process_group()
    return 0


def _settings(argv: Optional[Sequence[str]]) -> Settings:
    default = Settings()
    text = (__doc__ or "").split("\n", 1)[0]
    parser = argparse.ArgumentParser(prog="gradspike.examples.distributed", description=text)
    parser.add_argument("--epochs", type=int, default=default.epochs, help="passes over the data (%(default)s)")
    parser.add_argument("--samples", type=int, default=default.samples, help="training samples (%(default)s)")
    parser.add_argument(
        "--batch-size", type=int, default=default.batch_size, help="samples per step, of all processes (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=default.seed, help="seed of weights and order (%(default)s)")
    parser.add_argument(
        "--compile", default="", metavar="BACKEND", help="compile with this backend: inductor, aot_eager (not compiled)"
    )
    given = parser.parse_args(argv)
    for option in ("epochs", "batch_size"):
        if getattr(given, option) < 1:
            parser.error(f"--{option.replace('_', '-')} must be at least 1, got {getattr(given, option)}")
    if given.samples < given.batch_size:
        parser.error(f"--samples must be at least the batch size of {given.batch_size}, got {given.samples}")
    return Settings(given.epochs, given.samples, given.batch_size, given.seed, given.compile)


if __name__ == "__main__":
    sys.exit(main())
