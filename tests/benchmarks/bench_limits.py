"""How near single operators come to the limits of the machine: copy bandwidth and rate of integer products.

The chip's layer, 256 to 512, T = 100, batch 256: 131072 neurons per step. Bytes are those that an operator must read
and write; the copy is measured in the same run, into memory in use. Synapses are held against the integer rate of rows
without zeros.
"""

from typing import Any, Callable, Dict, List, Tuple

import layer
import measure
import torch
from layer import NEURON, SCALE, Sizes

from gradspike import functional

PREDICTED = {"lif forward, spikes": 0.6, "lif forward, all traces": 0.6, "lif backward": 0.5}


def memory_entries(own: layer.Layer) -> Dict[str, Tuple[Callable[[], Any], int]]:
    """Name to work and bytes per element-step."""
    current = functional.graded_spikes(own.spikes, own.weight.detach(), SCALE)
    leaf = current.clone().requires_grad_()
    spikes = functional.lif(leaf, **NEURON).spikes

    def backward() -> None:
        torch.autograd.grad(spikes, [leaf], own.gradient, retain_graph=True)

    return {
        "lif forward, spikes": (lambda: functional.lif(current, **NEURON), 8),
        "lif forward, all traces": (lambda: functional.lif(current, outputs="spikes+membrane+current", **NEURON), 16),
        "lif forward with graph, spikes": (lambda: functional.lif(leaf, **NEURON), 12),
        "lif backward": (backward, 12),
        "li forward, membrane": (
            lambda: functional.li(current, 0.0, *(NEURON[name] for name in NEURON)),
            8,
        ),
        "copy into fresh memory": (lambda: current.clone(), 8),
    }


def main() -> None:
    options = measure.parse_options(__doc__, devices=("cpu", "cuda"))
    clock = measure.clock_of(options)
    sizes = Sizes()
    elements = sizes.time * sizes.batch * sizes.neurons
    limits = measure.machine_limits(options.device)
    rows: List[Dict[str, Any]] = [
        measure.row("limit of the machine", key.replace("_per_s", "").replace("_", " "), value, "G/s")
        for key, value in limits.items()
    ]
    own = layer.make_layer(sizes, 0.05, options.device)
    entries = memory_entries(own)
    times = {"memory": measure.interleaved({name: work for name, (work, _) in entries.items()}, options)}
    for name, (_, count) in entries.items():
        milliseconds = measure.value_of(times["memory"], name, clock)
        share = count * elements / milliseconds * 1e-6 / limits["copy_gb_per_s"]
        target = 0.7 if name == "lif forward, spikes" else None
        label = f"{name}, 131072 neurons, T=100"
        rows.append(measure.row(label, "copy bandwidth", share, "of 1", PREDICTED.get(name), target))
        rows.append(measure.row(label, "own time", milliseconds * 1e6 / elements, "ns per element-step"))
    for density in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0):
        synapse_rows(rows, times, layer.make_layer(sizes, density, options.device), sizes, density, options, limits)
    measure.write("limits", options, {}, rows, {"clock": clock, "limits": limits, **times})


def synapse_rows(
    rows: List[Dict[str, Any]],
    times: Dict[str, Any],
    own: layer.Layer,
    sizes: Sizes,
    density: float,
    options: Any,
    limits: Dict[str, float],
) -> None:
    """Rows of `graded_spikes`, forward and backward to the weight, beside the dense float product."""
    clock = measure.clock_of(options)
    count = sizes.time * sizes.batch
    leaf = own.weight.detach().clone().requires_grad_()
    current = functional.graded_spikes(own.spikes, leaf, SCALE)
    weight = own.weight.detach()

    def backward() -> None:
        torch.autograd.grad(current, [leaf], own.gradient, retain_graph=True)

    entries: Dict[str, Callable[[], Any]] = {
        "graded_spikes forward": lambda: functional.graded_spikes(own.spikes, weight, SCALE),
        "graded_spikes backward to the weight": backward,
    }
    if density in (0.05, 1.0):
        entries["float product forward"] = lambda: torch.nn.functional.linear(own.spikes, weight)
        entries["float product backward to the weight"] = lambda: torch.mm(
            own.gradient.flatten(0, 1).t(), own.spikes.flatten(0, 1)
        )
    timed = measure.interleaved(entries, options)
    times[f"synapses, {density:.0%}"] = timed
    for name in entries:
        milliseconds = measure.value_of(timed, name, clock)
        label = f"{name}, 256->512, {density:.0%} spikes"
        rows.append(measure.row(label, "own time", milliseconds * 1e3 / count, "us per row"))
        if name == "graded_spikes forward":
            floor = count * sizes.inputs * sizes.neurons * density * 1e-6 / limits["integer_gmac_per_s"]
            memory = 4 * count * (sizes.inputs + sizes.neurons) * 1e-6 / limits["copy_gb_per_s"]
            rows.append(measure.row(label, "integer rate", floor / milliseconds, "of 1"))
            rows.append(measure.row(label, "copy bandwidth", memory / milliseconds, "of 1"))


if __name__ == "__main__":
    main()
