"""Other libraries as entries of `bench_layer.py`: Linear with their leaky integrate-and-fire neuron.

Their neurons have no synaptic current, so they do less work than ours; thresholds are set so that as many spikes occur.
A library that cannot be imported is skipped with the reason.
"""

from importlib import metadata
from typing import Any, Callable, Dict, List, Tuple

import torch
from layer import Layer
from torch import Tensor

Run = Callable[[Layer, float], Tensor]


def spikingjelly() -> Run:
    from spikingjelly.activation_based import functional, neuron  # type: ignore[import-not-found]

    node: Any = neuron.LIFNode(
        tau=10.0, decay_input=False, v_threshold=1.0, v_reset=0.0, detach_reset=True, step_mode="m"
    )

    def run(layer: Layer, threshold: float) -> Tensor:
        functional.reset_net(node)
        node.v_threshold = threshold
        result: Tensor = node(torch.nn.functional.linear(layer.spikes, layer.weight))
        return result

    return run


def snntorch() -> Run:
    import snntorch as library  # type: ignore[import-not-found]

    node: Any = library.Leaky(beta=0.9, threshold=1.0, reset_mechanism="zero")

    def run(layer: Layer, threshold: float) -> Tensor:
        node.threshold = torch.tensor(threshold)
        membrane = node.reset_mem()
        spikes = []
        for x in torch.nn.functional.linear(layer.spikes, layer.weight).unbind(0):
            spike, membrane = node(x, membrane)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


def available() -> Tuple[Dict[str, Run], List[str]]:
    """Entries of the libraries that can be imported, and the reasons of those that are skipped."""
    entries: Dict[str, Run] = {}
    skipped: List[str] = []
    for name, make in (("SpikingJelly", spikingjelly), ("snnTorch", snntorch)):
        try:
            entries[f"{name} {metadata.version(name.lower())}"] = make()
        except Exception as error:  # a peer that fails to import for any reason is absent
            skipped.append(f"{name}: {type(error).__name__}: {error}")
            print(f"skipped {skipped[-1]}")
    return entries, skipped


def matched_threshold(run: Run, layer: Layer, rate: float) -> Tuple[float, float]:
    """Threshold at which a peer fires at `rate`, by bisection, and the rate it has there."""
    low, high = 1e-3, 20.0
    with torch.no_grad():
        for _ in range(8):
            middle = (low * high) ** 0.5
            low, high = (middle, high) if float(run(layer, middle).mean()) > rate else (low, middle)
        return middle, float(run(layer, middle).mean())
