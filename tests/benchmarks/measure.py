"""Interleaved timing, validation, limits of the machine, and result files."""

import argparse
import contextlib
import json
import os
import platform
import re
import shlex
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

# Inductor compiles in this process: its workers would compete with what is timed.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

import torch
from torch import Tensor

import gradspike
from gradspike import _timing

RESULTS = Path(os.environ.get("GRADSPIKE_BENCHMARK_RESULTS", Path(__file__).resolve().parent / "results"))
RATE_TOLERANCE = 0.1
"""Relative deviation of a spike rate from the matched one beyond which an entry is rejected."""


def parse_options(description: Optional[str], devices: Sequence[str] = ("cpu",)) -> argparse.Namespace:
    """Options that all benchmarks share; sets PyTorch's threads.

    Args:
        description: Docstring of the benchmark.
        devices: Devices that the benchmark can run on.

    Returns:
        threads, quick, device; samples per entry, and budget [s], the time that an entry may take for its samples.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--quick", action="store_true", help="few samples, for a look")
    parser.add_argument("--device", choices=devices, default=devices[0])
    options = parser.parse_args()
    options.samples, options.budget = (5, 0.3) if options.quick else (25, 1.5)
    if options.device == "cuda":
        options.samples = 31
    torch.set_num_threads(options.threads)
    return options


def interleaved(entries: Dict[str, Callable[[], Any]], options: argparse.Namespace) -> Dict[str, Any]:
    """Times entries in turn, see `gradspike._timing.interleaved`, as `parse_options` says."""
    return _timing.interleaved(entries, options.device, options.samples, options.budget)


summary = _timing.summary


def clock_of(options: argparse.Namespace) -> str:
    """GPU events; process time where one thread runs, since other processes do not disturb it; else wall time."""
    if options.device == "cuda":
        return "gpu_ms"
    return "cpu_ms" if options.threads == 1 else "wall_ms"


def value_of(times: Dict[str, Any], name: str, clock: str) -> float:
    """Time of an entry [ms]: the minimum, least disturbed, of a CPU clock, the median of GPU events."""
    return float(times[name][clock]["median" if clock == "gpu_ms" else "minimum"])


def mismatches(actual: Tensor, expected: Tensor) -> int:
    """Number of entries whose bits differ; a difference in shape or dtype is an error."""
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        raise RuntimeError(f"expected {expected.dtype} {list(expected.shape)}, got {actual.dtype} {list(actual.shape)}")
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}.get(actual.element_size())
    actual, expected = actual.detach().contiguous(), expected.detach().contiguous()
    if bits is not None:
        actual, expected = actual.view(bits), expected.view(bits)
    return int((actual != expected).sum())


def require_equal(name: str, actual: Tensor, expected: Tensor, allowed: float = 0.0) -> int:
    """Count of differing bits; more than the fraction `allowed` of all entries is an error that rejects the entry."""
    count = mismatches(actual, expected)
    if count > allowed * expected.numel():
        raise RuntimeError(f"{name}: {count} of {expected.numel()} entries differ from the reference loop")
    return count


def require_close(name: str, actual: Tensor, expected: Tensor, tolerance: float = 1e-4) -> float:
    """Largest error over the largest magnitude; beyond the tolerance it is an error that rejects the entry."""
    error = float((actual - expected).abs().max() / expected.abs().max())
    if not error <= tolerance:
        raise RuntimeError(f"{name}: gradient error {error:.3g} exceeds {tolerance:g}")
    return error


def require_rate(name: str, rate: float, expected: float) -> float:
    """The rate; one that deviates by more than 10 % is an error that rejects the entry."""
    if not abs(rate - expected) <= RATE_TOLERANCE * expected:
        raise RuntimeError(f"{name}: spike rate {rate:.4g} does not match {expected:.4g}")
    return rate


def machine_limits(device: str = "cpu") -> Dict[str, float]:
    """What this machine can do with these threads, best of several: the roofs that the results are held against.

    Returns:
        Copy bandwidth into memory in use and into fresh memory [GB/s, read and written bytes counted], rate of a
        float32 matrix product [GMAC/s], rate of the exact integer product of rows without zeros [GMAC/s].
    """
    source = torch.empty(32 * 2**20, device=device).normal_()
    target = torch.empty_like(source)
    left, right = torch.rand(1024, 1024, device=device), torch.rand(1024, 1024, device=device)
    counts, weight = torch.ones(4096, 256, device=device), torch.rand(512, 256, device=device)
    copy = best_seconds(lambda: target.copy_(source), device)
    fresh = best_seconds(lambda: source.clone(), device)
    product = best_seconds(lambda: torch.mm(left, right), device)
    # The better of our own kernel for rows without zeros and of PyTorch's integer product, which may be missing.
    integer = best_seconds(lambda: gradspike.functional.graded_spikes(counts, weight, 63.0), device)
    left8, right8 = counts.to(torch.int8), torch.ones(256, 512, dtype=torch.int8, device=device)
    with contextlib.suppress(RuntimeError):
        integer = min(integer, best_seconds(lambda: torch._int_mm(left8, right8), device))
    return {
        "copy_gb_per_s": 2 * source.nbytes / copy / 1e9,
        "copy_to_fresh_memory_gb_per_s": 2 * source.nbytes / fresh / 1e9,
        "float32_gmac_per_s": 1024**3 / product / 1e9,
        "integer_gmac_per_s": 4096 * 256 * 512 / integer / 1e9,
    }


def best_seconds(work: Callable[[], Any], device: str = "cpu", samples: int = 15) -> float:
    """Least time of a call [s]: process time with one thread, else wall time."""
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    work()
    times = []
    for _ in range(samples):
        _timing.synchronise(device)
        start = clock()
        work()
        _timing.synchronise(device)
        times.append(clock() - start)
    return min(times)


def row(
    case: str,
    baseline: str,
    measured: float,
    unit: str = "x",
    predicted: Optional[float] = None,
    at_least: Optional[float] = None,
    at_most: Optional[float] = None,
) -> Dict[str, Any]:
    """A row of the tables; with a target the row says whether it is met."""
    result: Dict[str, Any] = {"case": case, "baseline": baseline, "measured": measured, "unit": unit}
    if predicted is not None:
        result["predicted"] = predicted
    if at_least is not None:
        result.update(target=f">= {at_least:g}", met=measured >= at_least)
    if at_most is not None:
        result.update(target=f"<= {at_most:g}", met=measured <= at_most)
    return result


def ratio_row(
    case: str,
    times: Dict[str, Any],
    slow: str,
    fast: str,
    clock: str,
    predicted: Optional[float] = None,
    target: Optional[float] = None,
) -> Dict[str, Any]:
    """A row with the ratio of the times of two entries."""
    measured = value_of(times, slow, clock) / value_of(times, fast, clock)
    return row(case, slow, measured, "x", predicted, target)


def skip(skipped: List[str], name: str, reason: str) -> None:
    """Notes and prints what is left out and why."""
    skipped.append(f"{name}: {reason}")
    print(f"skipped {skipped[-1]}", flush=True)


def versions() -> Dict[str, str]:
    """Versions of what runs, peers included."""
    import peers

    info = gradspike.version_info()
    return {
        "gradspike": info.gradspike,
        "torch": info.torch,
        "cpu_isa": info.cpu_isa,
        "python": platform.python_version(),
        **peers.versions(),
    }


def write(
    name: str,
    options: argparse.Namespace,
    checks: Dict[str, Any],
    rows: List[Dict[str, Any]],
    details: Dict[str, Any],
    skipped: Sequence[str] = (),
) -> None:
    """Writes one result file and prints its rows.

    Args:
        name: Stem of the file; the threads, or the device, are appended.
        options: What `parse_options` gave.
        checks: What was compared before timing.
        rows: Rows of the table, see `row`.
        details: Samples and whatever else explains the rows.
        skipped: What was left out, and why.
    """
    if options.device == "cuda":
        stem = f"{name}_cuda"
    else:
        stem = f"{name}_{options.threads}_thread"
    data = {
        "name": name,
        "title": (sys.modules["__main__"].__doc__ or name).strip().splitlines()[0],
        "date": time.strftime("%Y-%m-%d"),
        "machine": _timing.machine(),
        "versions": versions(),
        "command": shlex.join(["python", f"tests/benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "device": options.device,
        "threads": options.threads,
        "checks": checks,
        "rows": rows,
        "skipped": list(skipped),
        "details": details,
    }
    RESULTS.mkdir(exist_ok=True, parents=True)
    text = json.dumps(data, indent=1)
    # Lists of numbers on one line each.
    text = re.sub(r"\[\s+([-0-9.e,\s]+?)\s+\]", lambda match: "[" + re.sub(r"\s+", " ", match[1]) + "]", text)
    (RESULTS / f"{stem}.json").write_text(text + "\n", encoding="utf-8")
    for entry in rows:
        verdict = {True: ", met", False: ", MISSED", None: ""}[entry.get("met")]
        wanted = f" (predicted {format_value(entry.get('predicted'))}, target {entry.get('target', 'none')}{verdict})"
        print(f"{entry['case']} | {entry['baseline']}: {format_value(entry['measured'])} {entry['unit']}{wanted}")
    sys.stdout.flush()


def format_value(value: Optional[float]) -> str:
    """Three significant digits; empty for none."""
    return "" if value is None else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
