"""Training step with Adam of the Yin-Yang network 5-120-3 with EventProp in the hidden layer, against a Python loop."""

from typing import Any, Dict, List

import bench_yinyang
import loop
import measure
import network
import torch
from layer import LOOP
from network import Network, Scores
from torch import Tensor

from gradspike import functional

OURS = "gradspike, eventprop_lif"
TARGET = 15.0
PREDICTED = 15.0
CASE = "Yin-Yang 5-120-3, T=38, B=50, EventProp"


def scores_of(own: Network, hidden: Tensor) -> Tensor:
    current = functional.graded_spikes(hidden, own.readout, own.scales[1])
    return functional.li(current, 0.0, own.tau, own.tau, own.capacitance, own.dt).membrane.amax(0) * own.gain


def ours(own: Network) -> Tensor:
    current, adjoint = functional.eventprop_graded_spikes(own.spikes, own.hidden, own.scales[0])
    hidden = functional.eventprop_lif(current, adjoint, tau_mem=own.tau, tau_syn=own.tau, dt=own.dt)
    return scores_of(own, hidden.spikes)


def by_loop(own: Network) -> Tensor:
    current = loop.graded_spikes(own.spikes, own.hidden, own.scales[0])
    hidden = loop.eventprop_lif(current, own.tau, own.tau, own.dt)
    current = loop.graded_spikes(hidden, own.readout, own.scales[1])
    return loop.li(current, own.tau, own.tau, own.capacitance, own.dt).amax(0) * own.gain


def main() -> None:
    options = measure.parse_options(__doc__)
    clock = measure.clock_of(options)
    rows: List[Dict[str, Any]] = []
    details: Dict[str, Any] = {"clock": clock}
    own = bench_yinyang.make_network()
    runs: Dict[str, Scores] = {OURS: ours, LOOP: by_loop}
    weights = [own.hidden, own.readout]
    actual, expected = ours(own), by_loop(own)
    found, wanted = (
        torch.autograd.grad(network.loss_of(scores, own.classes), weights) for scores in (actual, expected)
    )
    checks: Dict[str, Any] = {
        "scores that differ": measure.require_equal(OURS, actual, expected),
        "errors of the gradients": [measure.require_close(OURS, a, e) for a, e in zip(found, wanted)],
    }
    times = {
        "training step": measure.interleaved(
            {name: network.make_step(own, run, False) for name, run in runs.items()}, options
        ),
        "forward": measure.interleaved(
            {name: network.make_forward(own, run, False) for name, run in runs.items()}, options
        ),
    }
    details.update(times)
    for kind, timed in times.items():
        wanted_ratio = TARGET if kind == "training step" else None
        rows.append(measure.ratio_row(f"{CASE}, {kind}", timed, LOOP, OURS, clock, PREDICTED, wanted_ratio))
        rows.append(measure.row(f"{CASE}, {kind}", "own time", measure.value_of(timed, OURS, clock), "ms"))
    measure.write("eventprop", options, checks, rows, details)


if __name__ == "__main__":
    main()
