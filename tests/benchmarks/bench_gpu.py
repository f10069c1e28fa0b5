"""The CUDA operators against the limits of the GPU, and a training step in a CUDA graph.

Operators are compared with the CPU before they are timed, and work on sets of buffers in turn that together exceed the
L2 cache. Floors: the bytes that must be read and written over the copy bandwidth, the products of one pass over the
rate of `torch.mm` of halves, both measured in the same process. Target times are those that were computed from floors
before anything had run on a GPU.
"""

import itertools
import sys
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

import bench_recurrent
import layer
import loop
import measure
import network
import torch
from bench_yinyang import make_network
from layer import DT, NEURON, SCALE, TAU, Sizes
from torch import Tensor

from gradspike import functional as F

L2_BYTES = 200e6
DENSITY = 0.05


@dataclass(frozen=True)
class Case:
    """A layer with the target times [us] of the fused forward pass and of forward and backward to the weight."""

    name: str
    sizes: Sizes
    forward: Optional[float] = None
    both: Optional[float] = None


CASES = [
    Case("256->512, T=100, B=256", Sizes(100, 256, 256, 512), 26.0, 85.0),
    Case("256->512, T=100, B=2048", Sizes(100, 2048, 256, 512), 190.0, 630.0),
    Case("512->512, T=500, B=16", Sizes(500, 16, 512, 512), 30.0, 75.0),
    Case("4096->4096, T=500, B=16", Sizes(500, 16, 4096, 4096), 450.0, 1250.0),
]
RECURRENT = [
    Case("recurrent 700->256, T=100, B=256", Sizes(100, 256, 700, 256), 45.0, 150.0),
    Case("recurrent 700->256, T=1000, B=256", Sizes(1000, 256, 700, 256), 400.0, 1250.0),
]
# Shares of a floor that are asked for, by operator; for the neurons at 64000 chains or more.
SHARES = {"lif, spikes": 0.78, "synapse_lif, spikes": 0.7}


def turn(work: Callable[[int], Any], sets: int) -> Callable[[], Any]:
    """Calls `work` with the number of the set of buffers that comes next."""
    numbers = itertools.cycle(range(sets))
    return lambda: work(next(numbers))


def without_graph(work: Callable[[int], Any], sets: int) -> Callable[[], Any]:
    once = turn(work, sets)

    def call() -> Any:
        with torch.no_grad():
            return once()

    return call


def fused(spikes: Tensor, weight: Tensor, **options: Any) -> Tensor:
    result: Tensor = F.synapse_lif(spikes, weight, scale=SCALE, **NEURON, **options).spikes
    return result


def check(spikes: Tensor, weight: Tensor) -> Dict[str, int]:
    """Differing entries between GPU and CPU, of one batch entry: more than 0 is an error."""
    one = spikes[:, :1].contiguous()
    current = F.graded_spikes(one.cpu(), weight.cpu(), SCALE)
    expected = F.lif(current, **NEURON).spikes
    own = F.graded_spikes(spikes, weight, SCALE)
    found = {
        "graded_spikes": (own[:, :1].cpu(), current),
        "lif": (F.lif(own, **NEURON).spikes[:, :1].cpu(), expected),
        "synapse_lif": (fused(spikes, weight)[:, :1].cpu(), expected),
    }
    return {name: measure.require_equal(name, a, e) for name, (a, e) in found.items()}


def layer_rows(case: Case, limits: Dict[str, float], options: Any) -> Tuple[List[Dict[str, Any]], Dict[str, Any]]:
    """Operators of one layer, each with the share of its floor."""
    sizes = case.sizes
    rows = sizes.time * sizes.batch
    trace, inputs = 4.0 * rows * sizes.neurons, 4.0 * rows * sizes.inputs
    sets = max(2, int(L2_BYTES // (trace + inputs)) + 1)
    weight = torch.randn(sizes.neurons, sizes.inputs, device="cuda") * (0.75 / (DENSITY * sizes.inputs) ** 0.5)
    shape = (sizes.time, sizes.batch, sizes.inputs)
    spikes = [(torch.rand(shape, device="cuda") < DENSITY).float() for _ in range(sets)]
    checks: Dict[str, Any] = dict(check(spikes[0], weight))
    packed = [F.pack_spikes(s)[0] for s in spikes]
    currents = [F.graded_spikes(s, weight, SCALE) for s in spikes]
    checks["spike rate"] = float(F.lif(currents[0], **NEURON).spikes.mean())
    leaf = weight.clone().requires_grad_()
    gradient = torch.randn(sizes.time, sizes.batch, sizes.neurons, device="cuda")
    synapses = [F.graded_spikes(s, leaf, SCALE) for s in spikes]
    leaves = [c.clone().requires_grad_() for c in currents]
    neurons = [F.lif(c, **NEURON).spikes for c in leaves]
    halves = [torch.randn(rows, n, device="cuda", dtype=torch.half) for n in (sizes.inputs, sizes.neurons)]

    def separate(k: int) -> Tensor:
        return F.lif(F.graded_spikes(spikes[k], leaf, SCALE), **NEURON).spikes

    work: Dict[str, Callable[[], Any]] = {
        "graded_spikes": without_graph(lambda k: F.graded_spikes(spikes[k], weight, SCALE), sets),
        "lif, spikes": without_graph(lambda k: F.lif(currents[k], **NEURON), sets),
        "separate operators": without_graph(lambda k: F.lif(F.graded_spikes(spikes[k], weight, SCALE), **NEURON), sets),
        "synapse_lif, spikes": without_graph(lambda k: fused(spikes[k], weight), sets),
        "synapse_lif, packed input": without_graph(lambda k: fused(packed[k], weight, packed_input=True), sets),
        "synapse_lif, packed input and output": without_graph(
            lambda k: fused(packed[k], weight, packed_input=True, spike_format="packed"), sets
        ),
        "graded_spikes, gradient to the weight": turn(
            lambda k: torch.autograd.grad(synapses[k], leaf, gradient, retain_graph=True), sets
        ),
        "lif, gradient to the input": turn(
            lambda k: torch.autograd.grad(neurons[k], leaves[k], gradient, retain_graph=True), sets
        ),
        "separate operators, forward and backward": turn(
            lambda k: torch.autograd.grad(separate(k), leaf, gradient), sets
        ),
        "synapse_lif, forward and backward": turn(
            lambda k: torch.autograd.grad(fused(spikes[k], leaf), leaf, gradient), sets
        ),
        "torch.nn.functional.linear, float32": without_graph(lambda k: spikes[k] @ weight.t(), sets),
        "torch.mm of halves, the size of the gradient": lambda: halves[1].t() @ halves[0],
    }
    flops = 2.0 * rows * sizes.inputs * sizes.neurons
    bits = rows * sizes.inputs / 8.0
    moved = {
        "graded_spikes": (inputs + trace, flops),
        "lif, spikes": (2 * trace, 0.0),
        "separate operators": (inputs + 3 * trace, flops),
        "synapse_lif, spikes": (inputs + trace, flops),
        "synapse_lif, packed input": (bits + trace, flops),
        "synapse_lif, packed input and output": (bits + trace / 32, flops),
        "graded_spikes, gradient to the weight": (inputs + trace, 2 * flops),
        "lif, gradient to the input": (3 * trace, 0.0),
        "synapse_lif, forward and backward": (2 * inputs + 5 * trace, 3 * flops),
    }
    times = measure.interleaved(work, options)
    result: List[Dict[str, Any]] = []
    for name in work:
        microseconds = measure.value_of(times, name, "gpu_ms") * 1e3
        label = f"{case.name}; {name}"
        at_most = {"synapse_lif, spikes": case.forward, "synapse_lif, forward and backward": case.both}.get(name)
        result.append(measure.row(label, "own time", microseconds, "us", at_most, at_most=at_most))
        if name in moved:
            count, operations = moved[name]
            floor = {"copy bandwidth": count / limits["copy"], "rate of halves": operations / limits["halves"]}
            roof = max(floor, key=lambda key: floor[key])
            large = sizes.batch * sizes.neurons >= 64000
            result.append(
                measure.row(
                    label,
                    f"floor: {roof}",
                    floor[roof] / microseconds,
                    "of 1",
                    None,
                    SHARES.get(name) if large else None,
                )
            )
    return result, {"checks": checks, "sets of buffers": sets, "times": times}


def recurrent_rows(case: Case, options: Any) -> Tuple[List[Dict[str, Any]], Dict[str, Any]]:
    """Recurrent layers after a feed-forward projection."""
    sizes = case.sizes
    torch.manual_seed(0)
    spikes = [(torch.rand(sizes.time, sizes.batch, sizes.inputs, device="cuda") < 0.02).float() for _ in range(3)]
    weight = (torch.randn(sizes.neurons, sizes.inputs, device="cuda") * 0.15).requires_grad_()
    own = (torch.randn(sizes.neurons, sizes.neurons, device="cuda") * 0.05).requires_grad_()
    gradient = torch.randn(sizes.time, sizes.batch, sizes.neurons, device="cuda")

    run = bench_recurrent.ours
    one = spikes[0][:, :1].contiguous()
    expected = run(one.cpu(), weight.detach().cpu(), own.detach().cpu())
    found = run(spikes[0], weight, own).detach()
    checks = {
        "recurrent_lif": measure.require_equal("recurrent_lif", found[:, :1].cpu(), expected),
        "spike rate": float(found.mean()),
    }
    work = {
        "forward": without_graph(lambda k: run(spikes[k], weight, own), 3),
        "forward and backward": turn(
            lambda k: torch.autograd.grad(run(spikes[k], weight, own), [weight, own], gradient), 3
        ),
        "list-and-stack loop, forward": without_graph(
            lambda k: loop.recurrent_lif(spikes[k], weight, own, SCALE, TAU, TAU, TAU, DT), 3
        ),
    }
    times = measure.interleaved(work, options)
    rows = []
    for name, at_most in (("forward", case.forward), ("forward and backward", case.both)):
        microseconds = measure.value_of(times, name, "gpu_ms") * 1e3
        rows.append(measure.row(f"{case.name}; {name}", "own time", microseconds, "us", at_most, at_most=at_most))
    rows.append(measure.ratio_row(f"{case.name}; forward", times, "list-and-stack loop, forward", "forward", "gpu_ms"))
    return rows, {"checks": checks, "times": times}


def captured(step: Callable[[], Any]) -> torch.cuda.CUDAGraph:
    """A training step in a graph, after three of them on another stream."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


def yinyang_rows(options: Any) -> Tuple[List[Dict[str, Any]], Dict[str, Any]]:
    """Training step of 5-120-3 with Adam: by the loop, by operators, and replayed from a graph."""
    own = make_network().to("cuda")
    skipped: List[str] = []
    runs, checks = network.entries(own, [layer.LOOP], [], skipped)
    steps = {name: network.make_step(own, run, False) for name, run in runs.items()}
    graph = captured(network.make_step(own, runs[layer.FUSED], False, capturable=True))
    steps["CUDA graph"] = graph.replay
    times = measure.interleaved(steps, options)
    case = "Yin-Yang 5-120-3, T=38, B=50, training step"
    rows = [measure.row(f"{case}; {name}", "own time", measure.value_of(times, name, "gpu_ms"), "ms") for name in steps]
    for name in (layer.SEPARATE, layer.FUSED, "CUDA graph"):
        rows.append(measure.ratio_row(f"{case}; {name}", times, layer.LOOP, name, "gpu_ms"))
    return rows, {"checks": checks, "times": times}


def ceilings(options: Any) -> Dict[str, float]:
    """Bytes per microsecond of a copy, read and written, and FLOP per microsecond of torch.mm of halves."""
    source = [torch.empty(1 << 26, device="cuda").normal_() for _ in range(4)]
    target = torch.empty_like(source[0])
    square = torch.randn(8192, 8192, device="cuda", dtype=torch.half)
    work = {"copy": turn(lambda k: target.copy_(source[k]), 4), "mm": lambda: square @ square}
    times = measure.interleaved(work, options)
    return {
        "copy": 8.0 * target.numel() / (measure.value_of(times, "copy", "gpu_ms") * 1e3),
        "halves": 2 * 8192.0**3 / (measure.value_of(times, "mm", "gpu_ms") * 1e3),
    }


def main() -> int:
    options = measure.parse_options(__doc__, devices=("cuda",))
    if not torch.cuda.is_available():
        print("bench_gpu.py: PyTorch sees no GPU, so nothing was measured", file=sys.stderr)
        return 1
    torch.manual_seed(1)
    limits = ceilings(options)
    rows = [
        measure.row("limit of the GPU", "copy, read and written", limits["copy"] / 1e6, "TB/s"),
        measure.row("limit of the GPU", "torch.mm of halves", limits["halves"] / 1e6, "TFLOP/s"),
    ]
    checks: Dict[str, Any] = {}
    details: Dict[str, Any] = {"clock": "gpu_ms", "limits": limits}
    parts: List[Tuple[str, Callable[[], Tuple[List[Dict[str, Any]], Dict[str, Any]]]]] = [
        ("Yin-Yang", lambda: yinyang_rows(options)),
        *((case.name, lambda case=case: layer_rows(case, limits, options)) for case in CASES),  # type: ignore[misc]
        *((case.name, lambda case=case: recurrent_rows(case, options)) for case in RECURRENT),  # type: ignore[misc]
    ]
    for name, part in parts:
        start = time.perf_counter()
        found, detail = part()
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        rows += found
        checks[name] = detail.pop("checks", {})
        details[name] = detail
        torch.cuda.empty_cache()
    measure.write("gpu", options, checks, rows, details)
    return 0


if __name__ == "__main__":
    sys.exit(main())
