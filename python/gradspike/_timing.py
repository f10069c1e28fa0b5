"""Timing of calls in turn, on the CPU or by events of a GPU, and the machine it happened on."""

import gc
import math
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Sequence, Tuple, Union

import torch

from gradspike import _progress

SHORTEST_SAMPLE = 5e-3
"""Calls are repeated within a sample until it takes this long [s]."""
FEWEST_SAMPLES = 2


def interleaved(
    entries: Dict[str, Callable[[], Any]], device: Union[str, Mapping[str, str]], samples: int, budget: float
) -> Dict[str, Any]:
    """Times entries in turn, forth and back (A B B A), so that a drift of the machine meets all of them alike.

    Short work is repeated within a sample. An entry whose samples would take longer than the budget gets fewer, spread
    over the rounds, at least two.

    Args:
        entries: Name to the work of one call.
        device: "cpu" or "cuda", of all entries or of each by its name.
        samples: Samples per entry.
        budget: Time that an entry may take for its samples [s].

    Returns:
        Per entry `cpu_ms` and `wall_ms` (on a GPU `gpu_ms`), each with median, mad, minimum and the samples.
    """
    devices = dict.fromkeys(entries, device) if isinstance(device, str) else device
    repeats: Dict[str, int] = {}
    counts: Dict[str, int] = {}
    for name, work in entries.items():
        seconds = _call_seconds(work, devices[name])
        if seconds < budget:  # the first call may have compiled or allocated
            seconds = _call_seconds(work, devices[name])
        repeats[name] = max(1, math.ceil(SHORTEST_SAMPLE / seconds))
        affordable = int(budget / (seconds * repeats[name]))
        counts[name] = min(samples, max(FEWEST_SAMPLES, affordable))
    taken: Dict[str, List[Dict[str, float]]] = {name: [] for name in entries}
    last = -1
    for turn, name in _progress.steps(_turns(counts, samples), sum(counts.values()), "timing", "sample"):
        if devices[name] == "cpu" or turn != last:  # on a GPU once a round
            gc.collect()
        last = turn
        take = _sample_gpu if devices[name] == "cuda" else _sample_cpu
        taken[name].append(take(entries[name], repeats[name]))
    return {
        name: {clock: summary([sample[clock] for sample in found]) for clock in found[0]}
        for name, found in taken.items()
    }


def _turns(counts: Dict[str, int], samples: int) -> Iterable[Tuple[int, str]]:
    """Rounds and names in the order in which they are timed."""
    order = list(counts)
    for index in range(samples):
        for name in order if index % 2 == 0 else reversed(order):
            if (index + 1) * counts[name] // samples > index * counts[name] // samples:
                yield index, name


def _call_seconds(work: Callable[[], Any], device: str) -> float:
    start = time.perf_counter()
    work()
    synchronise(device)
    return max(time.perf_counter() - start, 1e-7)


def _sample_cpu(work: Callable[[], Any], repeats: int) -> Dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(repeats):
        work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {"cpu_ms": cpu * 1e3 / repeats, "wall_ms": wall * 1e3 / repeats}


def _sample_gpu(work: Callable[[], Any], repeats: int) -> Dict[str, float]:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        work()
    end.record()
    end.synchronize()
    return {"gpu_ms": start.elapsed_time(end) / repeats}


def synchronise(device: str) -> None:
    """Waits for a GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def summary(values: Sequence[float]) -> Dict[str, Any]:
    """Median, median absolute deviation, minimum and the samples."""
    median = statistics.median(values)
    return {
        "median": median,
        "mad": statistics.median(abs(value - median) for value in values),
        "minimum": min(values),
        "samples": [round(value, 4) for value in values],
    }


def machine() -> Dict[str, Any]:
    """Processor, cores, load, and GPU where one is at hand."""
    model = platform.processor()
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    result: Dict[str, Any] = {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(),
    }
    if torch.cuda.is_available():
        result["gpu"] = torch.cuda.get_device_name()
    return result


def _lines(path: str) -> List[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
