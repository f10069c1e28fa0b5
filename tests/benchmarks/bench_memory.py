"""Peak memory of forward and backward of 256 to 512 with LIF, T = 100, batch 256, 5 % spikes.

PyTorch's profiler reports every allocation and release of the CPU allocator; their running sum from the start of the
forward pass, at its largest, is the peak above input, weight and the gradient at the output. Beside it stands the
largest growth of the resident set of a process of its own, which also sees other allocators and what they keep.
"""

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import layer
import measure
import peers
import torch
from layer import COMPILED, FUSED, HXTORCH, LOOP, SEPARATE, Layer, Run, Sizes

TRACE_MIB = 4 * 100 * 256 * 512 / 2**20
# Input current, spikes, saved membrane, and the gradient of the current; the gradient at the output lies outside.
SEPARATE_TRACES = 4
PREDICTED = {SEPARATE: 152.0, FUSED: 150.0, "SpikingJelly": 0.25}
TARGETS = {"SpikingJelly": 0.35}


def work_of(run: Run, own: Layer, peer: bool) -> Callable[[], Any]:
    return layer.both_of(run, [own], peer)


def allocated_peak(work: Callable[[], Any]) -> float:
    """Peak of the running sum of allocations [MiB]."""
    gc.collect()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    kineto: Any = profiler.profiler
    events = [event for event in kineto.kineto_results.events() if event.name() == "[memory]"]
    total = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        peak = max(peak, total)
    return peak / 2**20


def resident_growth(work: Callable[[], Any]) -> float:
    """Growth of the resident set's high-water mark over the set before [MiB]; -1 where the system does not tell."""
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the high-water mark
        before = _status("VmRSS")
        work()
        return (_status("VmHWM") - before) / 1024
    except OSError:
        return -1.0


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise OSError(f"/proc/self/status has no {field}")


def resident_growth_alone(name: str, threshold: float) -> float:
    """`resident_growth` of an entry's first call in a new process, where no earlier entry has left memory behind."""
    command = [sys.executable, "-W", "ignore", __file__, "--resident-growth-of", name, str(threshold)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def all_entries(skipped: List[str]) -> Tuple[Layer, Dict[str, Run], Dict[str, Any]]:
    own = layer.make_layer(Sizes(), 0.05)
    return own, *layer.entries(own, [LOOP, COMPILED, HXTORCH], ["SpikingJelly", "snnTorch"], skipped)


def main() -> None:
    if "--resident-growth-of" in sys.argv:
        print_resident_growth(sys.argv[-2], float(sys.argv[-1]))
        return
    options = measure.parse_options(__doc__)
    skipped: List[str] = []
    own, runs, checks = all_entries(skipped)
    peaks: Dict[str, float] = {}
    resident: Dict[str, float] = {}
    for name, run in runs.items():
        work = work_of(run, own, name not in layer.OWN)
        work()
        peaks[name] = allocated_peak(work)
        if name in (SEPARATE, FUSED, LOOP) or name.startswith("SpikingJelly"):
            resident[name] = resident_growth_alone(name, checks[name].get("threshold", 0.0) if name in checks else 0.0)
    rows: List[Dict[str, Any]] = []
    for name in (SEPARATE, FUSED):
        if name not in peaks:
            continue
        case = f"peak memory, 256->512, T=100, B=256, forward and backward; {name.split(', ')[1]}"
        bound = SEPARATE_TRACES * TRACE_MIB * 1.02 if name == SEPARATE else None
        rows.append(measure.row(case, "above start", peaks[name], "MiB", PREDICTED[name], at_most=bound))
        for other in peaks:
            if other in (SEPARATE, FUSED):
                continue
            target, predicted = (layer.baseline_of(other, table) for table in (TARGETS, PREDICTED))
            rows.append(measure.row(case, other, peaks[name] / peaks[other], "x", predicted, at_most=target))
        for other in resident:
            if other not in (SEPARATE, FUSED):
                share = resident[name] / resident[other]
                rows.append(measure.row(f"{case}, resident set of a process", other, share, "x"))
    details = {
        "peak of allocations [MiB]": peaks,
        "growth of the resident set [MiB]": resident,
        "one trace [MiB]": TRACE_MIB,
    }
    measure.write("memory", options, checks, rows, details, skipped)


def print_resident_growth(name: str, threshold: float) -> None:
    torch.set_num_threads(1)
    own = layer.make_layer(Sizes(), 0.05)
    run = {SEPARATE: layer.separate, FUSED: layer.fused, LOOP: layer.plain_loop}.get(name)
    if run is None:
        run = layer.run_of(peers.available([])[name.split()[0]], threshold)
    small = layer.make_layer(Sizes(4, 2, 256, 512), 0.05)
    work_of(run, small, name not in layer.OWN)()  # loads code and thread pools
    print(resident_growth(work_of(run, own, name not in layer.OWN)))


if __name__ == "__main__":
    main()
