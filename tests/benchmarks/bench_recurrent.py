"""Recurrent layer 700 to 256 with LIF, T = 250, batch 64, 2 % spikes, against the list-and-stack loop."""

from typing import Any, Callable, Dict, List

import loop
import measure
import torch
from layer import DT, LOOP, NEURON, SCALE, TAU
from torch import Tensor

from gradspike import functional

STEPS, BATCH, INPUTS, NEURONS = 250, 64, 700, 256
OURS = "gradspike, recurrent_lif"
TARGET = 15.0
PREDICTED = {"forward": 15.0, "forward and backward": 15.0}
CASE = f"recurrent {INPUTS}->{NEURONS}, T={STEPS}, B={BATCH}, 2% spikes"


def main() -> None:
    options = measure.parse_options(__doc__)
    clock = measure.clock_of(options)
    rows: List[Dict[str, Any]] = []
    details: Dict[str, Any] = {"clock": clock}
    generator = torch.Generator().manual_seed(0)
    spikes = (torch.rand(STEPS, BATCH, INPUTS, generator=generator) < 0.02).float()
    weights = [
        (torch.randn(NEURONS, INPUTS, generator=generator) * 0.2).requires_grad_(),
        (torch.randn(NEURONS, NEURONS, generator=generator) * 0.1).requires_grad_(),
    ]
    gradient = torch.randn(STEPS, BATCH, NEURONS, generator=generator)
    runs: Dict[str, Callable[[], Tensor]] = {
        OURS: lambda: ours(spikes, *weights),
        LOOP: lambda: loop.recurrent_lif(spikes, *weights, SCALE, TAU, TAU, TAU, DT),
    }
    actual, expected = runs[OURS](), runs[LOOP]()
    count = measure.require_equal(OURS, actual, expected)
    found, wanted = (torch.autograd.grad(out, weights, gradient) for out in (actual, expected))
    errors = [measure.require_close(OURS, a, e) for a, e in zip(found, wanted)]
    checks: Dict[str, Any] = {"spikes that differ": count, "errors of the gradients": errors}
    checks["spike rate"] = float(actual.detach().mean())
    times = {
        "forward": measure.interleaved({name: _forward(run) for name, run in runs.items()}, options),
        "forward and backward": measure.interleaved(
            {name: _both(run, weights, gradient) for name, run in runs.items()}, options
        ),
    }
    details.update(times)
    for kind, timed in times.items():
        rows.append(measure.ratio_row(f"{CASE}, {kind}", timed, LOOP, OURS, clock, PREDICTED[kind], TARGET))
        rows.append(measure.row(f"{CASE}, {kind}", "own time", measure.value_of(timed, OURS, clock), "ms"))
    measure.write("recurrent", options, checks, rows, details)


def ours(spikes: Tensor, weight: Tensor, recurrent: Tensor) -> Tensor:
    """Spikes by the operator."""
    result: Tensor = functional.recurrent_lif(
        spikes, weight, recurrent, input_scale=SCALE, recurrent_scale=SCALE, **NEURON
    ).spikes
    return result


def _forward(run: Callable[[], Tensor]) -> Callable[[], Any]:
    def work() -> None:
        with torch.no_grad():
            run()

    return work


def _both(run: Callable[[], Tensor], weights: List[Tensor], gradient: Tensor) -> Callable[[], Any]:
    return lambda: torch.autograd.grad(run(), weights, gradient)


if __name__ == "__main__":
    main()
