"""Interleaved timing, limits of the machine, and result files."""

import gc
import json
import os
import platform
import shlex
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import torch

import gradspike

RESULTS = Path(__file__).resolve().parent / "results"


def interleaved(
    entries: Dict[str, Callable[[], Any]], samples: int, repeats: int = 1, warmups: int = 2
) -> Dict[str, Any]:
    """Times entries in turn, forth and back (A B B A), so that a drift of the machine meets all of them alike.

    Args:
        entries: Name to the work of one call.
        samples: Samples per entry.
        repeats: Calls per sample, to lift short work above the resolution of the process clock.
        warmups: Calls before the first sample.

    Returns:
        Per entry `cpu_ms` and `wall_ms`, each with median, mad, minimum and the samples.
    """
    for work in entries.values():
        for _ in range(warmups):
            work()
    times: Dict[str, Dict[str, List[float]]] = {name: {"cpu_ms": [], "wall_ms": []} for name in entries}
    order = list(entries)
    for index in range(samples):
        for name in order if index % 2 == 0 else reversed(order):
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(repeats):
                entries[name]()
            times[name]["cpu_ms"].append((time.process_time() - cpu) * 1e3 / repeats)
            times[name]["wall_ms"].append((time.perf_counter() - wall) * 1e3 / repeats)
    return {name: {clock: summary(values) for clock, values in clocks.items()} for name, clocks in times.items()}


def summary(values: Sequence[float]) -> Dict[str, Any]:
    """Median, median absolute deviation, minimum and the samples."""
    median = statistics.median(values)
    return {
        "median": median,
        "mad": statistics.median(abs(value - median) for value in values),
        "minimum": min(values),
        "samples": [round(value, 4) for value in values],
    }


def ratio(times: Dict[str, Any], slow: str, fast: str, clock: str) -> Dict[str, float]:
    """Ratio of medians, the spread of the ratios of neighbouring samples, and the ratio of minima (least disturbed)."""
    pairs = [a / b for a, b in zip(times[slow][clock]["samples"], times[fast][clock]["samples"])]
    median = times[slow][clock]["median"] / times[fast][clock]["median"]
    return {
        "ratio": median,
        "mad": statistics.median(abs(value - median) for value in pairs),
        "of minima": times[slow][clock]["minimum"] / times[fast][clock]["minimum"],
    }


def clock_of(threads: int) -> str:
    """Process time where one thread runs, since other processes do not disturb it; else wall time."""
    return "cpu_ms" if threads == 1 else "wall_ms"


def machine_limits() -> Dict[str, float]:
    """Copy bandwidth [GB/s, read and write counted] and rate of a float32 matrix product [GFLOP/s], best of several."""
    source = torch.empty(16 * 2**20).normal_()
    target = torch.empty_like(source)
    left, right = torch.rand(1024, 1024), torch.rand(1024, 1024)
    copy = _best(lambda: target.copy_(source))
    product = _best(lambda: torch.mm(left, right))
    return {"copy_gb_per_s": 2 * source.nbytes / copy / 1e9, "mm_gflop_per_s": 2 * 1024**3 / product / 1e9}


def _best(work: Callable[[], Any], samples: int = 12) -> float:
    work()
    times = []
    for _ in range(samples):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def machine() -> Dict[str, Any]:
    """Processor, cores and load when the benchmark started."""
    model = platform.processor()
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": list(os.getloadavg()),
        "system": platform.platform(),
    }


def _lines(path: str) -> List[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def write(name: str, threads: int, checks: Dict[str, Any], rows: List[Dict[str, Any]], details: Dict[str, Any]) -> None:
    """Writes one result file.

    Args:
        name: Stem of the file.
        threads: Threads of PyTorch.
        checks: What was compared before timing.
        rows: Rows of the table, see `row`.
        details: Samples and whatever else explains the rows.
    """
    version = gradspike.version_info()
    data = {
        "name": name,
        "machine": machine(),
        "versions": {
            "gradspike": version.gradspike,
            "torch": version.torch,
            "cpu_isa": version.cpu_isa,
            "python": platform.python_version(),
        },
        "command": shlex.join(["python", f"tests/benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "threads": threads,
        "checks": checks,
        "rows": rows,
        "details": details,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    for row in rows:
        print(
            f"{row['quantity']}: {format_value(row['measured'])} {row['unit']} (predicted {row['predicted']})",
            flush=True,
        )


def row(
    quantity: str, measured: float, unit: str, predicted: float, at_least: float = 0.0, at_most: float = 0.0
) -> Dict[str, Any]:
    """A row of the table; with a target the row says whether it is met."""
    result: Dict[str, Any] = {"quantity": quantity, "measured": measured, "unit": unit, "predicted": predicted}
    if at_least:
        result.update(target=f">= {at_least:g}", met=measured >= at_least)
    if at_most:
        result.update(target=f"<= {at_most:g}", met=measured <= at_most)
    return result


def format_value(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"
