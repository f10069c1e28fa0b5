"""Only spikes asked for, against all traces of our own: 256 to 512, T = 100, batch 256, 5 % spikes."""

from typing import Any, Callable, Dict, List

import layer
import measure
import torch
from layer import FUSED, NEURON, SCALE, SEPARATE, Sizes

from gradspike import functional

ALL = "spikes+membrane+current"


def main() -> None:
    options = measure.parse_options(__doc__)
    clock = measure.clock_of(options)
    own = layer.make_layer(Sizes(), 0.05)
    current = functional.graded_spikes(own.spikes, own.weight.detach(), SCALE)

    def lif(outputs: str) -> Callable[[], Any]:
        return lambda: functional.lif(current, outputs=outputs, **NEURON)

    def separate(outputs: str) -> Callable[[], Any]:
        def work() -> None:
            with torch.no_grad():
                functional.lif(functional.graded_spikes(own.spikes, own.weight, SCALE), outputs=outputs, **NEURON)

        return work

    def fused(outputs: str) -> Callable[[], Any]:
        def work() -> None:
            with torch.no_grad():
                functional.synapse_lif(own.spikes, own.weight, scale=SCALE, outputs=outputs, **NEURON)

        return work

    entries = {"lif alone": lif, SEPARATE: separate, FUSED: fused}
    few, many = (functional.lif(current, outputs=outputs, **NEURON).spikes for outputs in ("spikes", ALL))
    checks = {"spikes that differ": measure.require_equal("spikes only", few, many)}
    times = measure.interleaved(
        {f"{name}: {kind}": make(outputs) for name, make in entries.items() for kind, outputs in KINDS.items()}, options
    )
    rows: List[Dict[str, Any]] = [
        measure.row(
            f"256->512, T=100, B=256, 5% spikes, forward; {name}",
            "the same with all traces",
            measure.value_of(times, f"{name}: all", clock) / measure.value_of(times, f"{name}: spikes", clock),
            "x",
            PREDICTED.get(name),
            None if name == SEPARATE else 1.5,
        )
        for name in entries
    ]
    measure.write("traces", options, checks, rows, {"clock": clock, "times": times})


KINDS = {"all": ALL, "spikes": "spikes"}
PREDICTED = {"lif alone": 2.0, SEPARATE: 1.5, FUSED: 2.0}

if __name__ == "__main__":
    main()
