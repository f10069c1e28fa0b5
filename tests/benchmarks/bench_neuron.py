"""Neurons alone, input given: T = 500, batch 16, 512 neurons, and the shapes of SpikingJelly's own table.

The second group is the workload of SpikingJelly's documentation (forward, sum, backward to the input) at a size for
this processor: 131072 neurons, T = 4, 32 and 128, float32. On a GPU it has the published 64 x 65536 neurons.
"""

from typing import Any, Callable, Dict, List, Tuple

import compiled_loop
import loop
import measure
import peers
import torch
from layer import COMPILED, DT, LOOP, NEURON, PEER_MISMATCHES, TAU, baseline_of
from torch import Tensor

from gradspike import functional

OURS = "gradspike, lif"
TARGETS = {
    "forward": {"SpikingJelly": 12.0, "compiled loop": 8.0},
    "forward and backward": {"SpikingJelly": 12.0, "compiled loop": 12.0},
}
PREDICTED = {
    "forward": {"SpikingJelly": 15.0, "compiled loop": 9.0, "list-and-stack loop": 30.0, "snnTorch": 25.0},
    "forward and backward": {
        "SpikingJelly": 14.0,
        "compiled loop": 14.0,
        "list-and-stack loop": 26.0,
        "snnTorch": 18.0,
    },
}
Run = Callable[[Tensor], Tensor]


def entries(x: Tensor, loops: bool, libraries: Any, skipped: List[str]) -> Tuple[Dict[str, Run], Dict[str, Any]]:
    """Checked entries: bits of the loop for ours, spikes of the plain loop for the peers, at the same rate."""
    gradient = torch.randn_like(x)
    own = x.detach().requires_grad_()
    expected = loop.lif(own, TAU, TAU, TAU, DT)
    (expected_gradient,) = torch.autograd.grad(expected, [own], gradient)
    rate = float(expected.detach().mean())
    runs: Dict[str, Run] = {OURS: lambda x: functional.lif(x, **NEURON).spikes}
    if loops:
        runs[LOOP] = lambda x: loop.lif(x, TAU, TAU, TAU, DT)
        runs[COMPILED] = lambda x: compiled_loop.lif(x, TAU, TAU, TAU, DT)
    checks: Dict[str, Any] = {"spike rate": rate}
    for name in [name for name in runs if name != LOOP]:
        actual = runs[name](own)
        count = measure.require_equal(name, actual, expected)
        (found,) = torch.autograd.grad(actual, [own], gradient)
        error = measure.require_close(name, found, expected_gradient)
        checks[name] = {"spikes that differ": count, "error of the gradient": error}
    threshold = peers.matched_threshold(x, rate)
    reference = peers.reference(x, threshold)
    for peer in peers.available(skipped, libraries).values():
        try:
            with torch.no_grad():
                found = peer.lif(x, threshold).contiguous()
            count = measure.require_equal(peer.name, found, reference, PEER_MISMATCHES)
            own_rate = measure.require_rate(peer.name, float(found.mean()), rate)
        except RuntimeError as error_text:
            measure.skip(skipped, peer.name, str(error_text))
            continue
        checks[peer.name] = {"threshold": threshold, "spike rate": own_rate, "spikes that differ": count}
        runs[peer.name] = lambda x, lif=peer.lif: lif(x, threshold)  # type: ignore[misc]
    return runs, checks


def forward_of(run: Run, x: Tensor) -> Callable[[], Any]:
    def work() -> None:
        with torch.no_grad():
            run(x)

    return work


def both_of(run: Run, x: Tensor, gradient: Tensor) -> Callable[[], Any]:
    leaf = x.detach().requires_grad_()

    def work() -> None:
        torch.autograd.grad(run(leaf), [leaf], gradient)

    return work


def sum_of(run: Run, x: Tensor) -> Callable[[], Any]:
    leaf = x.detach().requires_grad_()

    def work() -> None:
        leaf.grad = None
        run(leaf).sum().backward()

    return work


def main() -> None:
    options = measure.parse_options(__doc__, devices=("cpu", "cuda"))
    clock = measure.clock_of(options)
    rows: List[Dict[str, Any]] = []
    checks: Dict[str, Any] = {}
    details: Dict[str, Any] = {"clock": clock}
    skipped: List[str] = []
    torch.manual_seed(0)

    case = "LIF only, T=500, B=16, N=512"
    x = (torch.randn(500, 16, 512) * 0.6).to(options.device)
    libraries = None if options.threads == 1 else ["SpikingJelly", "snnTorch"]
    runs, checks[case] = entries(x, True, libraries, skipped)
    gradient = torch.randn_like(x)
    times = {
        "forward": measure.interleaved({name: forward_of(run, x) for name, run in runs.items()}, options),
        "forward and backward": measure.interleaved(
            {name: both_of(run, x, gradient) for name, run in runs.items()}, options
        ),
    }
    details[case] = times
    for kind, timed in times.items():
        for other in runs:
            if other != OURS:
                target, predicted = (baseline_of(other, table[kind]) for table in (TARGETS, PREDICTED))
                rows.append(measure.ratio_row(f"{case}, {kind}", timed, other, OURS, clock, predicted, target))
        rows.append(measure.row(f"{case}, {kind}", "own time", measure.value_of(timed, OURS, clock), "ms"))

    neurons = 65536 if options.device == "cuda" else 2048
    for steps in (4, 32, 128):
        case = f"LIF only, {64 * neurons} neurons, T={steps}, sum and backward"
        x = torch.rand(steps, 64, neurons).to(options.device)
        runs, checks[case] = entries(x, False, ["SpikingJelly"], [])
        timed = measure.interleaved({name: sum_of(run, x) for name, run in runs.items()}, options)
        details[case] = timed
        for other in runs:
            if other != OURS:
                rows.append(measure.ratio_row(case, timed, other, OURS, clock, 4.0))
        rows.append(measure.row(case, "own time", measure.value_of(timed, OURS, clock), "ms"))
    measure.write("neuron", options, checks, rows, details, skipped)


if __name__ == "__main__":
    main()
