"""A whole training step in a CUDA graph: forward, loss, backward and Adam, captured once and replayed for every batch.

Trains the Yin-Yang network 5-120-3 twice on a GPU from the same weights, step by step and by replays, checks that both
end with the same bits, and prints the time of a step. A step of this size is bound by the host, which a replay hardly
asks. Run it with `python -m gradspike.examples.cuda_graph`.
"""

import argparse
import sys
import time
from typing import Callable, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gradspike.examples import yinyang_training as training

__all__ = ["CapturedStep", "main"]

Step = Callable[[Tensor, Tensor], Tensor]
TRAIN_SIZE = 5000


def eager_step(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Step:
    """A training step `(spikes, classes) -> loss`."""

    def step(spikes: Tensor, classes: Tensor) -> Tensor:
        loss = training.loss_of(network(spikes), classes)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


class CapturedStep:
    """A training step as a CUDA graph; every call copies a batch into its inputs and replays it.

    The operators never wait for the device and take memory from PyTorch alone, so nothing is asked of the model; the
    optimiser must be made with `capturable=True`. Three steps run before the capture, as PyTorch requires; they leave
    parameters and the optimiser as they were.

    Args:
        network: The network, on a GPU.
        optimizer: An optimiser of its parameters that has made no step yet, with `capturable=True`.
        spikes: A batch `[time, batch, neuron]` on that GPU: the shape of all batches.
        classes: Its classes `[batch]`.
    """

    def __init__(
        self, network: torch.nn.Module, optimizer: torch.optim.Optimizer, spikes: Tensor, classes: Tensor
    ) -> None:
        self._spikes, self._classes = spikes.clone(), classes.clone()
        step = eager_step(network, optimizer)
        parameters = list(network.parameters())
        values = [parameter.detach().clone() for parameter in parameters]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                step(self._spikes, self._classes)
        torch.cuda.current_stream().wait_stream(stream)
        with torch.no_grad():
            for parameter, value in zip(parameters, values):
                parameter.copy_(value)
            for state in optimizer.state.values():
                for entry in state.values():
                    entry.zero_()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._loss = step(self._spikes, self._classes)

    def __call__(self, spikes: Tensor, classes: Tensor) -> Tensor:
        """One step; the loss is overwritten by the next one.

        Raises:
            ValueError: The batch has another shape than that of the capture.
        """
        if spikes.shape != self._spikes.shape or classes.shape != self._classes.shape:
            raise ValueError(f"spikes must be {list(self._spikes.shape)} as captured, got {list(spikes.shape)}")
        self._spikes.copy_(spikes)
        self._classes.copy_(classes)
        self._graph.replay()
        return self._loss


def _network() -> Tuple[training.YinYangNetwork, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = training.YinYangNetwork().cuda()
    return network, torch.optim.Adam(network.parameters(), lr=5e-3, capturable=True)


def _train(step: Step, batches: Sequence[Tuple[Tensor, Tensor]]) -> Tuple[Tensor, float]:
    """Losses, and wall time of a step [s]."""
    losses: List[Tensor] = []
    torch.cuda.synchronize()
    start = time.perf_counter()
    for spikes, classes in batches:
        losses.append(step(spikes, classes).clone())
    torch.cuda.synchronize()
    return torch.stack(losses), (time.perf_counter() - start) / len(batches)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the example.

    Args:
        argv: Command line options; None: those of the process.

    Returns:
        Exit code: 0; 1 where the two trainings differ; 3 for options out of range and where there is no GPU.
    """
    parser = argparse.ArgumentParser(
        prog="python -m gradspike.examples.cuda_graph",
        description="Train Yin-Yang with every step replayed from a CUDA graph.",
    )
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=50)
    options = parser.parse_args(argv)
    if options.epochs < 1 or not 1 <= options.batch_size <= TRAIN_SIZE:
        print(
            f"cuda_graph: --epochs must be at least 1 and --batch-size 1 to {TRAIN_SIZE}, got {options.epochs} and "
            f"{options.batch_size}",
            file=sys.stderr,
        )
        return 3
    if not torch.cuda.is_available():
        print("cuda_graph: PyTorch finds no GPU here, and a CUDA graph needs one", file=sys.stderr)
        return 3
    data = training.load_data(TRAIN_SIZE)
    spikes, classes = data.train_spikes.cuda(), data.train_classes.cuda()
    batches = [
        (spikes[:, chosen].contiguous(), classes[chosen])
        for _ in range(options.epochs)
        for chosen in torch.randperm(len(classes), device="cuda").split(options.batch_size)
        if len(chosen) == options.batch_size
    ]
    eager, optimizer = _network()
    eager_losses, eager_seconds = _train(eager_step(eager, optimizer), batches)
    captured, optimizer = _network()
    losses, seconds = _train(CapturedStep(captured, optimizer, *batches[0]), batches)
    with torch.no_grad():
        scores = captured(data.test_spikes.cuda())
    print(f"{len(batches)} steps of {options.batch_size} samples on {torch.cuda.get_device_name()}")
    print(f"  step by step   {eager_seconds * 1e3:7.3f} ms per step")
    print(f"  CUDA graph     {seconds * 1e3:7.3f} ms per step, {eager_seconds / seconds:.1f} times as fast")
    print(f"  test accuracy  {training.accuracy(scores.cpu(), data.test_classes):.3f}")
    pairs = [(losses, eager_losses), *zip(captured.parameters(), eager.parameters())]
    if not all(torch.equal(a, b) for a, b in pairs):
        print("cuda_graph: losses or weights of the two trainings differ", file=sys.stderr)
        return 1
    print("  losses and weights: the same bits")
    return 0


if __name__ == "__main__":
    sys.exit(main())
