"""The baseline of the recurrent operator: a list-and-stack loop with two matrix products per step, and its measurement.

Lean on purpose, as `loop.py`: `unbind` instead of indexing, no refractory counter, no trace that is not asked for, the
integers of both weights made once. Run alone it times the loop and the operator by process CPU time on one thread.
"""

import argparse
import gc
import time
from typing import Any, Callable, Dict

import torch
from loop import Quantise, SuperSpike
from torch import Tensor

from gradspike import functional as F


def recurrent_lif(
    spikes: Tensor,
    input_weight: Tensor,
    recurrent_weight: Tensor,
    input_scale: float,
    recurrent_scale: float,
    tau_mem: float = 10e-6,
    tau_syn: float = 10e-6,
    capacitance: float = 10e-6,
    dt: float = 1e-6,
    alpha: float = 50.0,
    bound: float = 63.0,
    hoisted: bool = False,
) -> Tensor:
    """Spikes of neurons with leak and reset 0 and threshold 1, which come back to them one step later.

    `hoisted` makes the input product of all steps at once, outside the loop.
    """
    k, g, d = dt / capacitance, capacitance / tau_mem, 1.0 - dt / tau_syn
    q_in = Quantise.apply(input_weight, input_scale, bound)
    q_rec = Quantise.apply(recurrent_weight, recurrent_scale, bound)
    inverse_in, inverse_rec = (float(1.0 / torch.tensor(scale)) for scale in (input_scale, recurrent_scale))
    linear = torch.nn.functional.linear
    z = torch.zeros(spikes.shape[1], input_weight.shape[0])
    i, v, reset = torch.zeros_like(z), torch.zeros_like(z), torch.zeros(())
    result = []
    for x in (linear(spikes, q_in) if hoisted else spikes).unbind(0):
        product = x if hoisted else linear(x, q_in)
        total = product * inverse_in + linear(z, q_rec) * inverse_rec
        dv = k * (i + g * (0.0 - v))
        i = i * d + total
        v = v + dv
        z = SuperSpike.apply(v - 1.0, alpha)
        v = torch.where(z.detach() > 0, reset, v)
        result.append(z)
    return torch.stack(result)


def problem(steps: int, batch: int, inputs: int, neurons: int, rate: float) -> Dict[str, Any]:
    """Spikes at the given rate, and weights with which the neurons fire at a rate of the same order."""
    generator = torch.Generator().manual_seed(1)
    return {
        "spikes": (torch.rand(steps, batch, inputs, generator=generator) < rate).float(),
        "input_weight": torch.randn(neurons, inputs, generator=generator) * (inputs * rate * 2.5) ** -0.5 * 0.65,
        "recurrent_weight": torch.randn(neurons, neurons, generator=generator) * (neurons * rate * 2.5) ** -0.5 * 0.25,
        "input_scale": 64.0,
        "recurrent_scale": 64.0,
    }


def forward(run: Callable[..., Any], given: Dict[str, Any]) -> None:
    with torch.no_grad():
        run(**given)


def backward(run: Callable[..., Any], given: Dict[str, Any]) -> None:
    leaves = {name: given[name].detach().requires_grad_() for name in ("input_weight", "recurrent_weight")}
    run(**(given | leaves)).sum().backward()


def fused(**given: Any) -> Tensor:
    return F.recurrent_lif(**given).spikes


def seconds(work: Callable[[], None], samples: int) -> float:
    """Process CPU time, the least of several."""
    best = float("inf")
    for _ in range(samples):
        gc.collect()
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs=4, default=[250, 64, 700, 256], help="steps, batch, inputs, neurons")
    parser.add_argument("--rate", type=float, default=0.02, help="spikes per input and step")
    parser.add_argument("--samples", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    given = problem(*arguments.sizes, arguments.rate)
    spikes = fused(**given)
    if not torch.equal(spikes, recurrent_lif(**given)):
        raise SystemExit("the loop and the operator give different spikes")
    print(f"spikes per neuron and step: {spikes.mean().item():.4f}")
    for name, part in (("forward", forward), ("forward and backward", backward)):
        ours = seconds(lambda part=part: part(fused, given), 4 * arguments.samples)
        loop = seconds(lambda part=part: part(recurrent_lif, given), arguments.samples)
        hoisted = seconds(
            lambda part=part: part(lambda **g: recurrent_lif(hoisted=True, **g), given), arguments.samples
        )
        print(
            f"{name}: operator {ours * 1e3:.2f} ms, loop {loop * 1e3:.1f} ms ({loop / ours:.1f} times), "
            f"input product hoisted {hoisted * 1e3:.1f} ms ({hoisted / ours:.1f} times)"
        )


if __name__ == "__main__":
    main()
