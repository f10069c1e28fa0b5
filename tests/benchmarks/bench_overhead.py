"""What a call costs the host, with autograd: tensors so small that the kernels take next to no time.

On the CPU the kernel is in the time. On a GPU the time from the Python call to its first launch is that of PyTorch's
profiler, which makes calls slower, and the host's time is that of all launches, while the GPU keeps up.
"""

import argparse
import statistics
from typing import Any, Callable, Dict, List

import measure
import torch

from gradspike import functional as F
from gradspike import nn

TARGET_US = 15.0
PREDICTED_US = 10.0
CALLS = 500
REFERENCE = "torch.nn.functional.linear"


def calls_of(device: str) -> Dict[str, Callable[[], Any]]:
    spikes = (torch.rand(4, 2, 5, device=device) < 0.3).float()
    weight = torch.randn(7, 5, device=device, requires_grad=True)
    current = torch.rand(4, 2, 7, device=device, requires_grad=True)
    synapse, neurons = nn.Synapse(5, 7, scale=20.0).to(device), nn.LIF(7).to(device)
    synapse(spikes)  # its first call looks at the weights
    return {
        "functional.graded_spikes": lambda: F.graded_spikes(spikes, weight, 20.0),
        "functional.lif": lambda: F.lif(current),
        "functional.synapse_lif": lambda: F.synapse_lif(spikes, weight, scale=20.0),
        "nn.Synapse": lambda: synapse(spikes),
        "nn.LIF": lambda: neurons(current),
        REFERENCE: lambda: torch.nn.functional.linear(spikes, weight),
    }


def microseconds_to_the_first_launch(call: Callable[[], Any]) -> float:
    """Median time from Python to the first launch [us]."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(50):
            with torch.profiler.record_function("call"):
                call()
            torch.cuda.synchronize()
    events = sorted(profile.events(), key=lambda event: event.time_range.start)
    starts = [event.time_range.start for event in events if event.name == "call" and "CPU" in str(event.device_type)]
    launches = [event.time_range.start for event in events if event.name.startswith("cudaLaunchKernel")]
    found = [min((at - start for at in launches if at >= start), default=float("nan")) for start in starts]
    return statistics.median(found[10:])


def repeated(call: Callable[[], Any]) -> Callable[[], None]:
    def work() -> None:
        for _ in range(CALLS):
            call()

    return work


def main() -> None:
    options = measure.parse_options(__doc__, devices=("cpu", "cuda"))
    clock = "wall_ms" if options.device == "cuda" else measure.clock_of(options)
    calls = calls_of(options.device)
    on_host = argparse.Namespace(**{**vars(options), "device": "cpu"})  # the host's time is of interest
    times = measure.interleaved({name: repeated(call) for name, call in calls.items()}, on_host)
    rows: List[Dict[str, Any]] = []
    for name, call in calls.items():
        case = f"a call of {name}, with autograd"
        host = measure.value_of(times, name, clock) * 1e3 / CALLS
        target = None if name == REFERENCE else TARGET_US
        if options.device == "cuda":
            begin = microseconds_to_the_first_launch(call)
            rows.append(measure.row(case, "until the first launch", begin, "us", PREDICTED_US, at_most=target))
            rows.append(measure.row(case, "host time", host, "us"))
        else:
            rows.append(measure.row(case, "host time, kernel included", host, "us", PREDICTED_US, at_most=target))
    measure.write("overhead", options, {}, rows, {"clock": clock, "calls per sample": CALLS, "times": times})


if __name__ == "__main__":
    main()
