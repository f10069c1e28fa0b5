"""Linear 256 to 512 with LIF, T = 100, batch 256, 5 % spikes: forward, and forward and backward, against the loop."""

import argparse
from typing import Any, Callable, Dict, List, Tuple

import measure
import peers
import torch
from layer import BATCH, DENSITY, INPUTS, NEURONS, TIME, Layer, make_layer, ours, theirs
from torch import Tensor

PREDICTED = {"forward": 7.0, "both": 5.0, "peer": 3.0, "forward_limit": 0.5, "both_limit": 0.3}
TRACE_BYTES = 4 * TIME * BATCH * NEURONS
INPUT_BYTES = 4 * TIME * BATCH * INPUTS
# What two operators must move at least: spikes in, current out and in, spikes out.
FORWARD_BYTES = INPUT_BYTES + 3 * TRACE_BYTES
# And further: membrane out and in, gradient in, gradient of the current out and in, spikes in.
BOTH_BYTES = FORWARD_BYTES + 5 * TRACE_BYTES + INPUT_BYTES


def check(layer: Layer) -> Dict[str, Any]:
    """Spikes must be equal bit for bit, the weight gradient up to the order of its sums."""
    actual, expected = ours(layer), theirs(layer)
    different = int((actual != expected).sum())
    (gradient,) = torch.autograd.grad(actual, [layer.weight], layer.gradient)
    (reference,) = torch.autograd.grad(expected, [layer.weight], layer.gradient)
    error = float((gradient - reference).abs().max() / reference.abs().max())
    rate = float(actual.detach().mean())
    if different or error > 1e-4:
        raise RuntimeError(f"operators and loop must agree, got {different} spikes and gradient error {error}")
    return {
        "spikes that differ": different,
        "largest relative error of the weight gradient": error,
        "input density": float(layer.spikes.mean()),
        "output spikes per neuron and step": rate,
    }


def forward_of(run: Callable[[Layer], Tensor], layer: Layer) -> Callable[[], Any]:
    def work() -> None:
        with torch.no_grad():
            run(layer)

    return work


def both_of(run: Callable[[Layer], Tensor], layer: Layer) -> Callable[[], Any]:
    def work() -> None:
        torch.autograd.grad(run(layer), [layer.weight], layer.gradient)

    return work


def peer_runs(layer: Layer, rate: float) -> Tuple[Dict[str, Callable[[Layer], Tensor]], Dict[str, Any]]:
    """Peers at a matched rate."""
    entries, skipped = peers.available()
    runs: Dict[str, Callable[[Layer], Tensor]] = {}
    notes: Dict[str, Any] = {"skipped": skipped}
    for name, run in entries.items():
        threshold, own_rate = peers.matched_threshold(run, layer, rate)
        notes[name] = {"threshold": threshold, "spikes per neuron and step": own_rate}
        runs[name] = lambda layer, run=run, threshold=threshold: run(layer, threshold)  # type: ignore[misc]
    return runs, notes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--samples", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    layer = make_layer()
    checks = check(layer)
    others, notes = peer_runs(layer, checks["output spikes per neuron and step"])
    runs = {"loop": theirs, "gradspike": ours, **others}
    limits = measure.machine_limits()
    forward = measure.interleaved({name: forward_of(run, layer) for name, run in runs.items()}, options.samples)
    both = measure.interleaved({name: both_of(run, layer) for name, run in runs.items()}, options.samples)
    clock = measure.clock_of(options.threads)
    details = {
        "clock": clock,
        "layer": {"time": TIME, "batch": BATCH, "inputs": INPUTS, "neurons": NEURONS, "density": DENSITY},
        "forward": forward,
        "forward and backward": both,
        "ratios": {
            kind: {name: measure.ratio(times, name, "gradspike", clock) for name in ["loop", *others]}
            for kind, times in (("forward", forward), ("forward and backward", both))
        },
        "peers": notes,
        "limits": limits,
        "dense product in float32 [ms]": 2e-6 * TIME * BATCH * INPUTS * NEURONS / limits["mm_gflop_per_s"],
        "floor": "bytes that two operators must move (spikes, current, saved membrane, gradients) over the copy "
        "bandwidth measured in this process; the dense product is no floor for spikes, since events skip its zeros",
    }
    rows = table_rows(forward, both, list(others), clock, limits["copy_gb_per_s"])
    measure.write(f"layer_{options.threads}_thread", options.threads, checks, rows, details)


def table_rows(
    forward: Dict[str, Any], both: Dict[str, Any], others: List[str], clock: str, copy: float
) -> List[Dict[str, Any]]:
    rows = []
    for kind, times, key, target, count in (
        ("forward", forward, "forward", 5.0, FORWARD_BYTES),
        ("forward and backward", both, "both", 4.0, BOTH_BYTES),
    ):
        ours_ms = times["gradspike"][clock]["median"]
        ratio = measure.ratio(times, "loop", "gradspike", clock)["ratio"]
        floor_ms = count / copy * 1e-6
        rows.append(measure.row(f"layer {kind}, loop / gradspike", ratio, "x", PREDICTED[key], target))
        rows.append(
            measure.row(
                f"layer {kind}, traffic floor / gradspike", floor_ms / ours_ms, "of 1", PREDICTED[f"{key}_limit"]
            )
        )
        for name in others:
            peer = measure.ratio(times, name, "gradspike", clock)["ratio"]
            rows.append(measure.row(f"layer {kind}, {name} / gradspike", peer, "x", PREDICTED["peer"]))
    return rows


if __name__ == "__main__":
    main()
