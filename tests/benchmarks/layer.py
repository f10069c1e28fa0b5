"""A linear layer with LIF neurons, its entries (ours, loops, peers), and what is checked before they are timed."""

import argparse
from typing import Any, Dict, List, Optional, Sequence, Tuple

import compiled_loop
import hxtorch_loop
import loop
import measure
import peers
import torch
from torch import Tensor

from gradspike import functional
from gradspike._benchmark_layer import (
    DT,
    SCALE,
    TAU,
    Layer,
    Run,
    Sizes,
    both_of,
    forward_of,
    fused,
    make_layer,
    separate,
)
from gradspike._benchmark_layer import (
    NEURON as NEURON,  # for the benchmarks
)

SEPARATE, FUSED, LOOP, COMPILED, HXTORCH = (
    "gradspike, separate operators",
    "gradspike, synapse_lif",
    "list-and-stack loop",
    "compiled loop",
    "hxtorch-style loop",
)
PEER_MISMATCHES = 1e-3
"""Fraction of a peer's spikes that may differ from the plain loop: its operations have another order."""


def synapse_lif(spikes: Tensor, weight: Tensor, scale: float, **neuron: float) -> Tensor:
    """Spikes of the fused operator."""
    result: Tensor = functional.synapse_lif(spikes, weight, scale=scale, **neuron).spikes
    return result


def plain_loop(layer: Layer) -> Tensor:
    return loop.lif(loop.graded_spikes(layer.spikes, layer.weight, SCALE), TAU, TAU, TAU, DT)


def compiled(layer: Layer) -> Tensor:
    return compiled_loop.lif(loop.graded_spikes(layer.spikes, layer.weight, SCALE), TAU, TAU, TAU, DT)


def hxtorch_style(layer: Layer) -> Tensor:
    return hxtorch_loop.lif(loop.graded_spikes(layer.spikes, layer.weight, SCALE), TAU, TAU, TAU, DT)[0]


LOOPS: Dict[str, Run] = {LOOP: plain_loop, COMPILED: compiled, HXTORCH: hxtorch_style}


def entries(
    layer: Layer, loops: Sequence[str], libraries: Optional[Sequence[str]], skipped: List[str]
) -> Tuple[Dict[str, Run], Dict[str, Any]]:
    """Checked entries of a layer; one that fails its check is left out, and named in `skipped`.

    Our operators and the loops must give the same bits; peers the spikes of the plain loop of their neuron, at a
    threshold that makes them spike as often.

    Args:
        layer: The layer.
        loops: Names of the loops that take part.
        libraries: Names of the peers that take part, None for all.
        skipped: Receives what is left out.

    Returns:
        Name to run, and the checks.
    """
    expected = plain_loop(layer)
    (expected_gradient,) = torch.autograd.grad(expected, [layer.weight], layer.gradient)
    rate = float(expected.detach().mean())
    checks: Dict[str, Any] = {"input density": float((layer.spikes != 0).float().mean()), "spike rate": rate}
    runs: Dict[str, Run] = {SEPARATE: separate, FUSED: fused}
    runs.update({name: LOOPS[name] for name in loops})
    for name in [name for name in runs if name != LOOP]:
        actual = runs[name](layer)
        count = measure.require_equal(name, actual, expected)
        (gradient,) = torch.autograd.grad(actual, [layer.weight], layer.gradient)
        error = measure.require_close(name, gradient, expected_gradient)
        checks[name] = {"spikes that differ": count, "error of the weight gradient": error}
    runs.update(_peers(layer, rate, libraries, skipped, checks))
    return runs, checks


def unchecked_entries(
    layer: Layer, libraries: Sequence[str], skipped: List[str]
) -> Tuple[Dict[str, Run], Dict[str, Any]]:
    """Our entries and peers for input that is no spikes, where the order of sums shows: spike rates are matched."""
    expected = plain_loop(layer).detach()
    rate = float(expected.mean())
    runs: Dict[str, Run] = {SEPARATE: separate, FUSED: fused}
    checks: Dict[str, Any] = {"spike rate": rate}
    for name, run in runs.items():
        spikes = run(layer).detach()
        checks[name] = {
            "spike rate": measure.require_rate(name, float(spikes.mean()), rate),
            "spikes that differ": measure.require_equal(name, spikes, expected, PEER_MISMATCHES),
        }
    runs.update(_peers(layer, rate, libraries, skipped, checks))
    return runs, checks


def run_of(peer: peers.Peer, threshold: float) -> Run:
    """A library's entry: the float product with the dequantised weight, then its neuron."""
    return lambda layer: peer.lif(torch.nn.functional.linear(layer.spikes, layer.dequantised), threshold)


def _peers(
    layer: Layer, rate: float, libraries: Optional[Sequence[str]], skipped: List[str], checks: Dict[str, Any]
) -> Dict[str, Run]:
    runs: Dict[str, Run] = {}
    with torch.no_grad():
        current = torch.nn.functional.linear(layer.spikes, layer.dequantised)
        threshold = peers.matched_threshold(current, rate)
        expected = peers.reference(current, threshold)
    for peer in peers.available(skipped, libraries).values():
        run = run_of(peer, threshold)
        try:
            with torch.no_grad():
                actual = run(layer).contiguous()
            count = measure.require_equal(peer.name, actual, expected, PEER_MISMATCHES)
            own = measure.require_rate(peer.name, float(actual.mean()), rate)
        except RuntimeError as error:
            measure.skip(skipped, peer.name, str(error))
            continue
        checks[peer.name] = {"threshold": threshold, "spike rate": own, "spikes that differ": count}
        runs[peer.name] = run
    return runs


OWN = (SEPARATE, FUSED, *LOOPS)
GPU_SETS = 4
"""Layers that a GPU works on in turn, so that its cache does not keep one of them."""


def timed(
    sizes: Sizes, density: float, runs: Dict[str, Run], layer: Layer, options: argparse.Namespace
) -> Dict[str, Dict[str, Any]]:
    """Times of the forward pass and of forward and backward."""
    layers = [layer]
    if options.device == "cuda":
        layers += [make_layer(sizes, density, "cuda", seed=seed) for seed in range(1, GPU_SETS)]
    return {
        "forward": measure.interleaved({name: forward_of(run, layers) for name, run in runs.items()}, options),
        "forward and backward": measure.interleaved(
            {name: both_of(run, layers, name not in OWN) for name, run in runs.items()}, options
        ),
    }


def baseline_of(name: str, targets: Dict[str, Any]) -> Any:
    """The entry of a table whose key begins the name of a baseline, whatever its version."""
    return next((value for key, value in targets.items() if name.startswith(key)), None)
