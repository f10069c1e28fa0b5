"""Times the CUDA operators at three layer sizes; needs a GPU.

GPU times from CUDA events around 20 calls, median of 30, with inputs that rotate through buffers larger than the L2
cache. Copy bandwidth and the rate of torch.mm are measured in the same process, and results are compared with the CPU
before anything is timed. Entries take turns, forth and back, so that a drift of the clocks meets all of them alike.
"""

import statistics
import sys
from typing import Callable, Dict, List, Tuple

import torch

from gradspike import functional as F

CALLS = 20
SAMPLES = 30
L2_BYTES = 200e6
# time, batch, inputs, neurons; the chip at batch 256, the benchmark layer of 512 neurons at batch 16, Yin-Yang.
SIZES = [(100, 256, 256, 512), (500, 16, 512, 512), (100, 50, 5, 120)]


def microseconds(work: Callable[[int], object]) -> float:
    """GPU time of one call; `work` takes the index of the buffers to use."""
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for index in range(CALLS):
        work(index)
    stop.record()
    stop.synchronize()
    return start.elapsed_time(stop) * 1e3 / CALLS


def interleaved(entries: Dict[str, Callable[[int], object]]) -> Dict[str, List[float]]:
    times: Dict[str, List[float]] = {name: [] for name in entries}
    for work in entries.values():
        microseconds(work)
    for sample in range(SAMPLES):
        for name in list(entries) if sample % 2 == 0 else reversed(list(entries)):
            times[name].append(microseconds(entries[name]))
    return times


def row(name: str, times: List[float], floor: float, what: str) -> str:
    median = statistics.median(times)
    spread = statistics.median(abs(value - median) for value in times)
    return f"{name:44} {median:10.1f} {spread:8.1f} {floor:10.1f} {floor / median:6.0%}  {what}"


def bench(time: int, batch: int, inputs: int, neurons: int, bandwidth: float, rate: float) -> List[str]:
    """Rows of one layer. `bandwidth` in byte/us of reading and writing, `rate` of dense halves in FLOP/us."""
    rows = time * batch
    buffers = max(4, int(L2_BYTES // (4 * rows * (inputs + neurons))) + 1)
    spikes = [(torch.rand(time, batch, inputs, device="cuda") < 0.05).float() for _ in range(buffers)]
    weight = torch.randn(neurons, inputs, device="cuda") * 0.3
    currents = [F.graded_spikes(s, weight, 64.0) for s in spikes]
    assert torch.equal(currents[0].cpu(), F.graded_spikes(spikes[0].cpu(), weight.cpu(), 64.0))
    out = F.lif(currents[0])
    assert torch.equal(out.spikes.cpu(), F.lif(currents[0].cpu()).spikes)

    tracked = weight.clone().requires_grad_()
    synapse_grad = torch.randn(time, batch, neurons, device="cuda")
    synapses = [F.graded_spikes(s, tracked, 64.0) for s in spikes]
    inputs_tracked = [c.clone().requires_grad_() for c in currents]
    neuron_outs = [F.lif(c).spikes for c in inputs_tracked]
    half = [torch.randn(rows, n, device="cuda", dtype=torch.half) for n in (inputs, neurons)]

    def weight_gradient(index: int) -> object:
        return torch.autograd.grad(synapses[index % buffers], tracked, synapse_grad, retain_graph=True)

    def neuron_gradient(index: int) -> object:
        k = index % buffers
        return torch.autograd.grad(neuron_outs[k], inputs_tracked[k], synapse_grad, retain_graph=True)

    with torch.no_grad():
        forward = interleaved(
            {
                "graded_spikes": lambda k: F.graded_spikes(spikes[k % buffers], weight, 64.0),
                "lif": lambda k: F.lif(currents[k % buffers]).spikes,
                "torch.nn.functional.linear, float32": lambda k: spikes[k % buffers] @ weight.t(),
            }
        )
    backward = interleaved(
        {
            "graded_spikes, gradient to the weight": weight_gradient,
            "lif, gradient to the input": neuron_gradient,
            "torch.mm of halves, same size": lambda _: half[1].t() @ half[0],
        }
    )
    bytes_product = 4.0 * rows * (inputs + neurons)
    bytes_scan = 4.0 * rows * neurons
    flops = 2.0 * rows * inputs * neurons
    floors = {
        "graded_spikes": (bytes_product / bandwidth, "of reading spikes and writing currents once"),
        "lif": (2 * bytes_scan / bandwidth, "of reading currents and writing spikes once"),
        "torch.nn.functional.linear, float32": (flops / rate, "of the rate of halves"),
        "graded_spikes, gradient to the weight": (
            max(bytes_product / bandwidth, 2 * flops / rate),
            "of reading both operands once, or two products of halves",
        ),
        "lif, gradient to the input": (3 * bytes_scan / bandwidth, "of reading two traces and writing one"),
        "torch.mm of halves, same size": (flops / rate, "of the rate of halves"),
    }
    lines = [f"T={time} B={batch} {inputs} -> {neurons}, 5 % spikes, {buffers} sets of buffers"]
    return lines + [row(name, times, *floors[name]) for name, times in {**forward, **backward}.items()]


def ceilings() -> Tuple[float, float]:
    """Bytes per microsecond of a copy, read and written, and FLOP per microsecond of torch.mm of halves."""
    source = [torch.empty(1 << 26, device="cuda") for _ in range(4)]
    target = torch.empty_like(source[0])
    square = torch.randn(8192, 8192, device="cuda", dtype=torch.half)
    times = interleaved({"copy": lambda k: target.copy_(source[k % 4]), "mm": lambda _: square @ square})
    return 8.0 * target.numel() / statistics.median(times["copy"]), 2 * 8192.0**3 / statistics.median(times["mm"])


def main() -> int:
    if not torch.cuda.is_available():
        print("bench_gpu.py: PyTorch sees no GPU, so nothing was measured", file=sys.stderr)
        return 1
    torch.manual_seed(1)
    bandwidth, rate = ceilings()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"copy {bandwidth / 1e6:.2f} TB/s, torch.mm of halves {rate / 1e6:.0f} TFLOP/s")
    print(f"{'':44} {'us':>10} {'+-':>8} {'floor us':>10} {'':6}")
    for size in SIZES:
        print("\n".join(bench(*size, bandwidth, rate)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
