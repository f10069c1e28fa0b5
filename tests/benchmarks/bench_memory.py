"""Peak memory of forward and backward of the layer of `bench_layer.py`: allocations that PyTorch's profiler records.

The profiler reports every allocation and release of PyTorch's CPU allocator; their running sum from the start of the
forward pass, at its largest, is the peak above inputs, weight and the gradient at the output. Beside it stands the
largest growth of the resident set, which also sees memory that other allocators take.
"""

import argparse
import gc
from pathlib import Path
from typing import Any, Callable, Dict

import measure
import torch
from layer import BATCH, NEURONS, TIME, Layer, make_layer, ours, theirs
from torch import Tensor

TRACE_MIB = 4 * TIME * BATCH * NEURONS / 2**20
# Input current, spikes, saved membrane, and the gradient of the current; the gradient at the output lies outside.
FLOOR_TRACES = 4
PREDICTED = {"gradspike": FLOOR_TRACES * TRACE_MIB + 2.0, "loop": 1300.0}


def run_once(run: Callable[[Layer], Tensor], layer: Layer) -> None:
    torch.autograd.grad(run(layer), [layer.weight], layer.gradient)


def allocated_peak(run: Callable[[Layer], Tensor], layer: Layer) -> float:
    """Peak of the running sum of allocations [MiB]."""
    gc.collect()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        run_once(run, layer)
    kineto: Any = profiler.profiler
    events = [event for event in kineto.kineto_results.events() if event.name() == "[memory]"]
    total = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        peak = max(peak, total)
    return peak / 2**20


def resident_growth(run: Callable[[Layer], Tensor], layer: Layer) -> float:
    """Growth of the resident set's high-water mark over the set before [MiB]; -1 where the system does not tell."""
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the high-water mark
        before = _status("VmRSS")
        run_once(run, layer)
        return (_status("VmHWM") - before) / 1024
    except OSError:
        return -1.0


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise OSError(f"/proc/self/status has no {field}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    layer = make_layer()
    peaks: Dict[str, float] = {}
    resident: Dict[str, float] = {}
    for name, run in (("gradspike", ours), ("loop", theirs)):
        resident[name] = resident_growth(run, layer)
        peaks[name] = allocated_peak(run, layer)
    bound = FLOOR_TRACES * TRACE_MIB * 1.02
    rows = [
        measure.row("layer peak memory, gradspike", peaks["gradspike"], "MiB", PREDICTED["gradspike"], at_most=bound),
        measure.row("layer peak memory, loop", peaks["loop"], "MiB", PREDICTED["loop"]),
        measure.row("layer peak memory in traces [time, batch, neuron]", peaks["gradspike"] / TRACE_MIB, "traces", 4.0),
        measure.row(
            "layer growth of the resident set, gradspike", resident["gradspike"], "MiB", PREDICTED["gradspike"]
        ),
    ]
    details = {
        "peak of allocations [MiB]": peaks,
        "growth of the resident set [MiB]": resident,
        "one trace [MiB]": TRACE_MIB,
        "floor": "input current, spikes, saved membrane and gradient of the current; 2 % for weights and work space",
        "how": "running sum of the allocations that torch.profiler records, from the start of the forward pass",
    }
    measure.write(f"memory_{options.threads}_thread", options.threads, {}, rows, details)


if __name__ == "__main__":
    main()
