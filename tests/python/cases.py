"""One call of every operator through gradspike.functional, for the tests that treat all operators alike."""

from dataclasses import dataclass
from typing import Callable, Tuple

import torch
from torch import Tensor

from gradspike import functional as F


def linear_saturating(weight: Tensor) -> Tensor:
    return F.linear_saturating(weight, 64.0, gradient="returning")


def hardware_weights(weight: Tensor) -> Tensor:
    return F.hardware_weights(weight, 64.0, -127.0, 127.0, rounding="half_away")


def graded_spikes(spikes: Tensor, weight: Tensor) -> Tensor:
    return F.graded_spikes(spikes, weight, 64.0, projection="hidden")


def graded_spikes_float(spikes: Tensor, weight: Tensor) -> Tensor:
    return F.graded_spikes(spikes, weight, 64.0, rounding="none", units="lsb")


def lif_numbers(input: Tensor) -> Tuple[Tensor, Tensor]:
    out = F.lif(input, refractory_time=2e-6, outputs="spikes+membrane", population="hidden")
    return out.spikes, out.membrane


def lif_tensors(input: Tensor, leak: Tensor, threshold: Tensor, tau_mem: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    out = F.lif(input, leak, -0.5, threshold, tau_mem, refractory_time=1e-6, outputs="spikes+membrane+current")
    return out.spikes, out.membrane, out.state


def lif_measured(input: Tensor, spikes: Tensor, membrane: Tensor) -> Tuple[Tensor, Tensor]:
    out = F.lif(input, measured_spikes=spikes, measured_membrane=membrane, outputs="spikes+membrane")
    return out.spikes, out.membrane


def li_tensors(input: Tensor, leak: Tensor, tau_syn: Tensor, state: Tensor) -> Tuple[Tensor, Tensor]:
    out = F.li(input, leak, tau_syn=tau_syn, initial_state=state, outputs="membrane+current")
    return out.membrane, out.current


def li_numbers(input: Tensor) -> Tensor:
    return F.li(input, leak=0.25).membrane


def recurrent_numbers(spikes: Tensor, input_weight: Tensor, recurrent_weight: Tensor) -> Tuple[Tensor, Tensor]:
    out = F.recurrent_lif(
        spikes, input_weight, recurrent_weight, refractory_time=1e-6, input_scale=32.0, recurrent_scale=16.0,
        recompute_every=4, outputs="spikes+membrane", population="loop",
    )  # fmt: skip
    return out.spikes, out.membrane


def recurrent_tensors(
    spikes: Tensor, input_weight: Tensor, recurrent_weight: Tensor, tau_mem: Tensor, state: Tensor, mask: Tensor
) -> Tuple[Tensor, Tensor, Tensor]:
    out = F.recurrent_lif(
        spikes, input_weight, recurrent_weight, tau_mem=tau_mem, recurrent_mask=mask > 0.5, input_scale=32.0,
        recurrent_scale=16.0, initial_state=state, outputs="spikes+membrane+current",
    )  # fmt: skip
    return out.spikes, out.current, out.state


def weight_statistics(weight: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    counts, measures, content = torch.ops.gradspike.weight_statistics(weight, 64.0)
    return counts, measures, content


def connections(weight: Tensor) -> Tensor:
    return F.connections(weight, 64.0)


@dataclass(frozen=True)
class Case:
    """`tensors` makes the arguments for a batch size; `differentiable` are the positions that take gradients."""

    call: Callable[..., object]
    tensors: Callable[[int], Tuple[Tensor, ...]]
    differentiable: Tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.call.__name__

    def arguments(self, batch: int = 3, requires_grad: bool = True) -> Tuple[Tensor, ...]:
        torch.manual_seed(5)
        tensors = self.tensors(batch)
        for position in self.differentiable if requires_grad else ():
            tensors[position].requires_grad_()
        return tensors


def spikes_like(*shape: int) -> Tensor:
    return (torch.rand(*shape) < 0.3).float()


def _around(center: float, count: int) -> Tensor:
    return center * (0.75 + 0.5 * torch.rand(count))


CASES = [
    Case(linear_saturating, lambda b: (torch.randn(b, 7),), (0,)),
    Case(hardware_weights, lambda b: (torch.randn(b, 7),)),
    Case(graded_spikes, lambda b: (spikes_like(6, b, 5), torch.randn(7, 5) * 0.3), (0, 1)),
    Case(graded_spikes_float, lambda b: (spikes_like(6, b, 5), torch.randn(7, 5) * 0.3), (0, 1)),
    Case(lif_numbers, lambda b: (torch.randn(9, b, 4) * 4.0,), (0,)),
    Case(
        lif_tensors,
        lambda b: (torch.randn(9, b, 4) * 4.0, torch.randn(4) * 0.1, _around(1.0, 4), _around(10e-6, 4)),
        (0, 1, 2, 3),
    ),
    Case(lif_measured, lambda b: (torch.randn(9, b, 4), spikes_like(9, b, 4), torch.randn(9, b, 4)), (0,)),
    Case(
        li_tensors,
        lambda b: (torch.randn(9, b, 4), torch.randn(4), _around(10e-6, 4), torch.randn(2, b, 4)),
        (0, 1, 2, 3),
    ),
    Case(
        recurrent_numbers,
        lambda b: (spikes_like(9, b, 5), torch.randn(4, 5) * 2.0, torch.randn(4, 4)),
        (0, 1, 2),
    ),
    Case(
        recurrent_tensors,
        lambda b: (
            spikes_like(9, b, 5),
            torch.randn(4, 5) * 2.0,
            torch.randn(4, 4),
            _around(10e-6, 4),
            spikes_like(4, b, 4),
            spikes_like(4, 4),
        ),
        (0, 1, 2, 3, 4),
    ),
    Case(li_numbers, lambda b: (torch.randn(9, b, 4),), (0,)),
    Case(weight_statistics, lambda b: (torch.randn(b, 7),)),
    Case(connections, lambda b: (torch.randn(b, 7),)),
]
DIFFERENTIABLE = [case for case in CASES if case.differentiable]


def outputs_of(result: object) -> Tuple[Tensor, ...]:
    """The tensors of a result, as a tuple."""
    return (result,) if isinstance(result, Tensor) else tuple(result)  # type: ignore[arg-type]


def gradients_of(result: object, tensors: Tuple[Tensor, ...]) -> Tuple[Tensor, ...]:
    """Gradients of a fixed linear functional of all differentiable outputs to all tensors that ask for one."""
    wanted = [tensor for tensor in tensors if tensor.requires_grad]
    loss = torch.zeros(())
    for output in outputs_of(result):
        if output.requires_grad:
            ramp = torch.linspace(-1.0, 1.0, output.numel(), dtype=output.dtype).reshape(output.shape)
            loss = loss + (output * ramp).sum()
    return torch.autograd.grad(loss, wanted)
