"""One linear layer n to n with LIF, T = 500, batch 16: the public cross-framework benchmark, audited, for this machine.

Against the original: every entry loops over the steps and is checked, spike rates are matched, forward alone has no
graph, each backward has its own graph, and peers get the dequantised weights. Inputs: spikes of 5 %, counts from 0 to
15, and the published normal numbers, which are no spikes and take our float path. The gradient goes to the weight.
"""

from typing import Any, Dict, List, Optional, Tuple

import layer
import measure
import torch
from layer import FUSED, LOOP, SEPARATE, Sizes, baseline_of
from torch import Tensor

PREDICTED = {
    "5% spikes": {"forward": {"SpikingJelly": 5.0}, "forward and backward": {"SpikingJelly": 4.0}},
    "counts 0..15": {"forward": {"SpikingJelly": 2.0}, "forward and backward": {"SpikingJelly": 2.0}},
    "normal numbers": {"forward": {"SpikingJelly": 0.7}, "forward and backward": {"SpikingJelly": 1.0}},
}


def inputs_of(kind: str, sizes: Sizes) -> Optional[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (sizes.time, sizes.batch, sizes.inputs)
    if kind == "counts 0..15":
        return torch.randint(16, shape, generator=generator).float()
    return torch.randn(shape, generator=generator) if kind == "normal numbers" else None


def main() -> None:
    options = measure.parse_options(__doc__, devices=("cpu", "cuda"))
    clock = measure.clock_of(options)
    rows: List[Dict[str, Any]] = []
    checks: Dict[str, Any] = {}
    details: Dict[str, Any] = {"clock": clock}
    skipped: List[str] = []
    gpu = options.device == "cuda"
    spikes = "5% spikes"
    cases = [(512, spikes), (512, "counts 0..15"), (512, "normal numbers"), (2048, spikes)]
    if gpu:
        cases += [(4096, spikes), (8192, spikes), (16384, spikes)]
    for neurons, kind in cases:
        sizes = Sizes(500, 16, neurons, neurons)
        case = f"n={neurons}, T=500, B=16, {kind}"
        noted: List[str] = []
        runs, checks[case] = entries(sizes, kind, options, noted)
        own = layer.make_layer(sizes, 0.05, options.device, inputs_of(kind, sizes))
        skipped += [reason for reason in noted if reason not in skipped]
        product = measure.best_seconds(
            lambda own=own: torch.nn.functional.linear(own.spikes, own.dequantised.detach()), options.device, 5
        )
        times = layer.timed(sizes, 0.05, runs, own, options)
        details[case] = {"times": times, "float product alone, wall [ms]": product * 1e3}
        for form, timed in times.items():
            ours = [name for name in (SEPARATE, FUSED) if name in timed]
            for name in ours:
                label = f"{case}, {form}; {name.split(', ')[1]}"
                for other in timed:
                    if other not in ours:
                        predicted = baseline_of(other, PREDICTED[kind][form])
                        rows.append(measure.ratio_row(label, timed, other, name, clock, predicted))
                rows.append(measure.row(label, "own time", measure.value_of(timed, name, clock), "ms"))
    measure.write("linear_lif", options, checks, rows, details, skipped)


def entries(sizes: Sizes, kind: str, options: Any, skipped: List[str]) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    own = layer.make_layer(sizes, 0.05, options.device, inputs_of(kind, sizes))
    if kind != "normal numbers":
        small = sizes.neurons == 512 and kind == "5% spikes"
        fast = ["SpikingJelly", "snnTorch"]
        return layer.entries(own, [LOOP] if small else [], fast if small else fast[:1], skipped)
    # Sums of real numbers depend on their order, so that no loop gives the same bits: rates are compared only.
    return layer.unchecked_entries(own, ["SpikingJelly"], skipped)


if __name__ == "__main__":
    main()
