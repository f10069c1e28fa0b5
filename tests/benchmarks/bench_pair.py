"""LIF, then a linear layer at low density: SpikingJelly's pair for its sparse kernels, at a size for this processor.

The neurons' input has an offset that makes them spike at the wanted density. Forward, and forward and backward to input
and weight with given gradients. Libraries run their neuron and the float product, the best they have on a CPU.
"""

from typing import Any, Callable, Dict, List, Tuple

import loop
import measure
import peers
import torch
from layer import DT, NEURON, SCALE, TAU
from torch import Tensor

from gradspike import functional

STEPS, BATCH, INPUTS, OUTPUTS = 8, 128, 1024, 1024
OURS = "gradspike, lif and graded_spikes"
GAIN = 8.0
"""Factor of our neurons' input: they integrate a current with a small step."""


def offset_for(rate_of: Callable[[float], float], density: float) -> float:
    """Offset of the input at which the neurons spike at the density, by bisection."""
    low, high = -10.0, 10.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if rate_of(middle) > density else (middle, high)
    return (low + high) / 2


def our_rate(x: Tensor) -> float:
    return float(functional.lif(x * GAIN, **NEURON).spikes.mean())


def main() -> None:
    options = measure.parse_options(__doc__)
    clock = measure.clock_of(options)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(STEPS, BATCH, INPUTS, generator=generator)
    weight = torch.randn(OUTPUTS, INPUTS, generator=generator) * 0.3
    dequantised = functional.hardware_weights(weight, SCALE).float() / SCALE
    gradient = torch.randn(STEPS, BATCH, OUTPUTS, generator=generator)
    skipped: List[str] = []
    libraries = peers.available(skipped)
    if "SpikingJelly" not in libraries:
        skipped.append("all of this benchmark: it compares with SpikingJelly")
    rows: List[Dict[str, Any]] = []
    checks: Dict[str, Any] = {}
    details: Dict[str, Any] = {"clock": clock}
    for density in (0.01, 0.05, 0.1):
        case = f"LIF then {INPUTS}->{OUTPUTS}, T={STEPS}, B={BATCH}, {density:.0%} spikes"
        ours = (noise + offset_for(lambda shift: our_rate(noise + shift), density)) * GAIN
        reference = loop.lif(ours, TAU, TAU, TAU, DT)
        expected = loop.graded_spikes(reference, weight, SCALE)
        rate = float(reference.mean())
        pairs: Dict[str, Tuple[Callable[[Tensor, Tensor], Tensor], Tensor, Tensor]] = {
            OURS: (
                lambda x, w: functional.graded_spikes(functional.lif(x, **NEURON).spikes, w, SCALE),
                ours,
                weight,
            )
        }
        checks[case] = {
            "spike rate": rate,
            "outputs that differ": measure.require_equal(OURS, pairs[OURS][0](ours, weight), expected),
        }
        if "SpikingJelly" in libraries:
            peer = libraries["SpikingJelly"]
            theirs = noise + offset_for(lambda shift: float(peers.reference(noise + shift, 3.0).mean()), density)
            own_rate = measure.require_rate(peer.name, float(peer.lif(theirs, 3.0).mean()), rate)
            checks[case][peer.name] = {"spike rate": own_rate}
            pairs[peer.name] = (
                lambda x, w, lif=peer.lif: torch.nn.functional.linear(lif(x, 3.0), w),
                theirs,
                dequantised,
            )
        times = {
            "forward": measure.interleaved({name: _forward(run, x, w) for name, (run, x, w) in pairs.items()}, options),
            "forward and backward": measure.interleaved(
                {name: _both(run, x, w, gradient) for name, (run, x, w) in pairs.items()}, options
            ),
        }
        details[case] = times
        for kind, timed in times.items():
            for other in timed:
                if other != OURS:
                    rows.append(measure.ratio_row(f"{case}, {kind}", timed, other, OURS, clock, PREDICTED[kind]))
            rows.append(measure.row(f"{case}, {kind}", "own time", measure.value_of(timed, OURS, clock), "ms"))
    measure.write("pair", options, checks, rows, details, skipped)


PREDICTED = {"forward": 6.0, "forward and backward": 2.0}


def _forward(run: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor) -> Callable[[], Any]:
    def work() -> None:
        with torch.no_grad():
            run(x, weight)

    return work


def _both(run: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, gradient: Tensor) -> Callable[[], Any]:
    leaves = [x.detach().requires_grad_(), weight.detach().requires_grad_()]

    def work() -> None:
        torch.autograd.grad(run(*leaves), leaves, gradient)

    return work


if __name__ == "__main__":
    main()
