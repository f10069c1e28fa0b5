"""Growth: time per element-step over T = 100 to 4000, and over 1e4 to 1e7 neurons per step; memory of training over T.

All sizes stream through memory, so that caches do not blur the comparison. Time must be proportional to the work, and
the memory of forward and backward to the number of steps.
"""

from typing import Any, Callable, Dict, List, Tuple

import bench_memory
import layer
import measure
import torch
from layer import NEURON, SEPARATE, Layer, Sizes

from gradspike import functional

STEPS = (100, 400, 1600, 4000)
NEURONS = (10_000, 100_000, 1_000_000, 10_000_000)
STREAMING = 131_072
"""Neurons per step of the series over T: 50 MiB per trace at T = 100, above what allocators keep for the next call."""
LARGEST_BACKWARD = 250_000_000
"""Element-steps up to which the backward pass is timed: five traces must fit into memory."""
TARGET = 1.3


def lif_both(x: torch.Tensor, gradient: torch.Tensor) -> Callable[[], Any]:
    leaf = x.detach().requires_grad_()
    return lambda: torch.autograd.grad(functional.lif(leaf, **NEURON).spikes, [leaf], gradient)


def nanoseconds(options: Any, works: Dict[str, Callable[[], Any]], elements: int) -> Dict[str, float]:
    clock = measure.clock_of(options)
    times = measure.interleaved(works, options)
    return {name: measure.value_of(times, name, clock) * 1e6 / elements for name in works}


def lif_series(options: Any, sizes: List[Tuple[int, int]]) -> Dict[str, Dict[str, float]]:
    """Time per element-step [ns] of `lif` for (steps, neurons)."""
    result: Dict[str, Dict[str, float]] = {}
    for steps, neurons in sizes:
        x = torch.randn(steps, 1, neurons).mul_(0.6)
        works: Dict[str, Callable[[], Any]] = {"forward": lambda x=x: functional.lif(x, **NEURON)}
        if x.numel() <= LARGEST_BACKWARD:
            works["forward and backward"] = lif_both(x, torch.randn(steps, 1, neurons))
        result[f"T={steps}, {neurons} neurons"] = nanoseconds(options, works, steps * neurons)
    return result


def layer_series(options: Any) -> Dict[str, Dict[str, float]]:
    result: Dict[str, Dict[str, float]] = {}
    for steps in STEPS[:-1]:
        own = layer.make_layer(Sizes(steps, 128, 256, 512), 0.05)
        works = {
            "forward": layer.forward_of(layer.separate, [own]),
            "forward and backward": layer.both_of(layer.separate, [own], False),
        }
        result[f"T={steps}, 128 x 512 neurons"] = nanoseconds(options, works, steps * 128 * 512)
    return result


def memory_series() -> Dict[str, float]:
    """Peak of forward and backward [MiB] over T."""
    result = {}
    for steps in STEPS:
        own: Layer = layer.make_layer(Sizes(steps, 16, 256, 512), 0.05)
        result[f"T={steps}"] = bench_memory.allocated_peak(layer.both_of(layer.separate, [own], False))
    return result


def spread_rows(label: str, series: Dict[str, Dict[str, float]], predicted: float) -> List[Dict[str, Any]]:
    rows = []
    for kind in ("forward", "forward and backward"):
        values = [times[kind] for times in series.values() if kind in times]
        spread = max(values) / min(values)
        rows.append(measure.row(f"{label}, {kind}", "largest over smallest", spread, "x", predicted, at_most=TARGET))
    return rows


def main() -> None:
    options = measure.parse_options(__doc__)
    options.samples = min(options.samples, 8)
    # The first calls of a size pay for pages that the system has to find; the least of several does not.
    options.budget = 0.3 if options.quick else 6.0
    over_time = lif_series(options, [(steps, STREAMING) for steps in STEPS])
    over_neurons = lif_series(options, [(max(10, 40_000_000 // neurons), neurons) for neurons in NEURONS])
    layers = layer_series(options)
    memory = memory_series()
    per_step = [peak / steps for peak, steps in zip(memory.values(), STEPS)]
    rows = [
        *spread_rows("lif, time per element-step, T=100..4000 (backward to 1600)", over_time, 1.2),
        *spread_rows("lif, time per element-step, 1e4..1e7 neurons", over_neurons, 1.3),
        *spread_rows(f"{SEPARATE}, time per element-step, T=100..1600", layers, 1.2),
        measure.row(
            "memory of training per step, T=100..4000",
            "largest over smallest",
            max(per_step) / min(per_step),
            "x",
            1.05,
            at_most=1.1,
        ),
        measure.row(
            "memory of training, 16 x 512 neurons",
            "traces [time, batch, neuron]",
            memory["T=4000"] / (4 * 4000 * 16 * 512 / 2**20),
            "",
            3.05,
        ),
    ]
    details = {
        "ns per element-step over T": over_time,
        "ns per element-step over neurons": over_neurons,
        "ns per element-step of a layer over T": layers,
        "peak memory over T [MiB]": memory,
    }
    measure.write("growth", options, {}, rows, details)


if __name__ == "__main__":
    main()
