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


def graded_spikes_stack(spikes: Tensor, weight: Tensor) -> Tensor:
    return F.graded_spikes(spikes, weight, 64.0, gradient="returning")


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


def aelif_numbers(input: Tensor) -> Tuple[Tensor, Tensor]:
    out = F.aelif(input, refractory_time=2e-6, outputs="spikes+adaptation", population="hidden")
    return out.spikes, out.adaptation


def aelif_tensors(
    input: Tensor, leak: Tensor, slope: Tensor, tau_adap: Tensor, state: Tensor
) -> Tuple[Tensor, Tensor, Tensor]:
    out = F.aelif(
        input, leak, -0.5, exponential_slope=slope, tau_adap=tau_adap, outputs="spikes+membrane", initial_state=state
    )
    return out.spikes, out.membrane, out.state


def aelif_measured(input: Tensor, spikes: Tensor, membrane: Tensor, adaptation: Tensor) -> Tuple[Tensor, Tensor]:
    out = F.aelif(
        input, measured_spikes=spikes, measured_membrane=membrane, measured_adaptation=adaptation, exponential=False,
        outputs="spikes+membrane",
    )  # fmt: skip
    return out.spikes, out.membrane


def recurrent_numbers(spikes: Tensor, input_weight: Tensor, recurrent_weight: Tensor) -> Tuple[Tensor, Tensor]:
    out = F.recurrent_lif(
        spikes, input_weight, recurrent_weight, refractory_time=1e-6, input_scale=32.0, recurrent_scale=16.0,
        recompute_every=4, outputs="spikes+membrane", population="loop",
    )  # fmt: skip
    return out.spikes, out.membrane


def eventprop_synapse(spikes: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor]:
    graded, adjoint = F.eventprop_graded_spikes(spikes, weight, 64.0, projection="hidden")
    return graded, adjoint


def eventprop_lif_numbers(input: Tensor, adjoint: Tensor) -> Tensor:
    return F.eventprop_lif(input, adjoint, population="hidden").spikes


def eventprop_lif_tensors(input: Tensor, adjoint: Tensor, threshold: Tensor, spikes: Tensor) -> Tuple[Tensor, Tensor]:
    out = F.eventprop_lif(input, adjoint, -0.2, threshold=threshold, measured_spikes=spikes, outputs="spikes+current")
    return out.spikes, out.current


def exact_eventprop_numbers(input: Tensor, adjoint: Tensor) -> Tuple[Tensor, Tensor]:
    out = F.exact_eventprop_lif(input, adjoint, refractory_time=2e-6, outputs="spikes+membrane")
    return out.spikes, out.state


def exact_eventprop_tensors(input: Tensor, adjoint: Tensor, tau_mem: Tensor, state: Tensor) -> Tensor:
    return F.exact_eventprop_lif(
        input, adjoint, tau_mem=tau_mem, initial_state=torch.stack([state] * 2 + [state.floor()])
    ).spikes


def eventprop_layer(spikes: Tensor, weight: Tensor) -> Tensor:
    graded, adjoint = F.eventprop_graded_spikes(spikes, weight, 64.0)
    return F.exact_eventprop_lif(graded * 8.0, adjoint).spikes


def synapse_lif_numbers(spikes: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor]:
    out = F.synapse_lif(spikes, weight, scale=20.0, outputs="spikes+membrane", projection="in", population="hidden")
    return out.spikes, out.membrane


def synapse_lif_tensors(spikes: Tensor, weight: Tensor, leak: Tensor, tau_mem: Tensor) -> Tuple[Tensor, Tensor]:
    out = F.synapse_lif(
        spikes, weight, leak, tau_mem=tau_mem, refractory_time=1e-6, scale=20.0, outputs="spikes", recompute_every=4
    )
    return out.spikes, out.state


def synapse_lif_packed(spikes: Tensor, weight: Tensor) -> Tensor:
    return F.synapse_lif(spikes, weight, scale=20.0, spike_format="packed", packed_input=True).spikes


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


def sparse_graded_spikes(spikes: Tensor, values: Tensor) -> Tensor:
    order = torch.arange(6, device=values.device)
    index = torch.stack((order, order % 5))
    return F.sparse_graded_spikes(spikes, values, index, 7, 64.0, projection="sparse")


def sparse_graded_spikes_float(spikes: Tensor, values: Tensor) -> Tensor:
    order = torch.arange(6, device=values.device)
    index = torch.stack((order, order % 5))
    return F.sparse_graded_spikes(spikes, values, index, 7, 64.0, rounding="none", units="lsb")


def pack_spikes(spikes: Tensor) -> Tuple[Tensor, Tensor]:
    out = F.pack_spikes(spikes)
    return out.packed, out.lost


def unpack_spikes(packed: Tensor) -> Tensor:
    return F.unpack_spikes(packed, 13)


def spikes_to_events(spikes: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    out = F.spikes_to_events(spikes, 20)
    return out.events, out.num_events, out.overflow, out.invalid


def events_to_spikes(events: Tensor) -> Tuple[Tensor, Tensor]:
    count = torch.ones([1], dtype=torch.int64, device=events.device) * 4
    out = F.events_to_spikes(events, count, 5, 2, 3, binary=True)
    return out.spikes, out.dropped


def prepack(weight: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    out = F.prepack(weight, 64.0)
    return out.rows, out.groups, out.matrix, out.nan_posts


def prepacked_graded_spikes(spikes: Tensor) -> Tensor:
    shape = [3, 5]
    p = F.prepack(torch.ones(shape, device=spikes.device), 32.0)
    return F.prepacked_graded_spikes(spikes, p.rows, p.groups, p.matrix, p.nan_posts, 3, 32.0, projection="packed")


def hardware_weights_with_statistics(weight: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    integers, counts, measures, content = torch.ops.gradspike.hardware_weights_with_statistics(weight, 64.0)
    return integers, counts, measures, content


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
    Case(graded_spikes_stack, lambda b: (spikes_like(2, 6, b, 5), torch.randn(2, 7, 5) * 0.3), (0, 1)),
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
    Case(aelif_numbers, lambda b: (torch.randn(9, b, 4) * 4.0,), (0,)),
    Case(
        aelif_tensors,
        lambda b: (
            torch.randn(9, b, 4) * 4.0,
            torch.randn(4) * 0.1,
            _around(0.2, 4),
            _around(50e-6, 4),
            torch.rand(4, b, 4) * 0.3,
        ),
        (0, 1, 2, 3, 4),
    ),
    Case(
        aelif_measured,
        lambda b: (torch.randn(9, b, 4), spikes_like(9, b, 4), torch.randn(9, b, 4), torch.randn(7, b, 4)),
        (0,),
    ),
    Case(eventprop_synapse, lambda b: (spikes_like(6, b, 5), torch.randn(7, 5) * 0.3), (0, 1)),
    Case(eventprop_lif_numbers, lambda b: (torch.randn(9, b, 4) * 4.0, torch.zeros(9, b, 4)), (0, 1)),
    Case(
        eventprop_lif_tensors,
        lambda b: (torch.randn(9, b, 4) * 4.0, torch.zeros(9, b, 4), _around(1.0, 4), spikes_like(5, b, 4)),
        (0, 1),
    ),
    Case(exact_eventprop_numbers, lambda b: (torch.randn(9, b, 4) * 8.0, torch.zeros(9, b, 4)), (0, 1)),
    Case(
        exact_eventprop_tensors,
        lambda b: (torch.randn(9, b, 4) * 8.0, torch.zeros(9, b, 4), _around(10e-6, 4), torch.rand(b, 4)),
        (0, 1),
    ),
    Case(eventprop_layer, lambda b: (spikes_like(6, b, 5), torch.randn(7, 5) * 0.3), (0, 1)),
    Case(synapse_lif_numbers, lambda b: (spikes_like(9, b, 5), torch.randn(7, 5)), (0, 1)),
    Case(
        synapse_lif_tensors,
        lambda b: (spikes_like(9, b, 5), torch.randn(7, 5), torch.randn(7) * 0.1, _around(10e-6, 7)),
        (0, 1, 2, 3),
    ),
    Case(synapse_lif_packed, lambda b: (torch.randint(0, 256, (9, b, 1), dtype=torch.uint8) % 32, torch.randn(10, 5))),
    Case(weight_statistics, lambda b: (torch.randn(b, 7),)),
    Case(connections, lambda b: (torch.randn(b, 7),)),
    Case(pack_spikes, lambda b: (spikes_like(6, b, 13),)),
    Case(unpack_spikes, lambda b: (torch.randint(0, 32, (6, b, 2), dtype=torch.uint8),)),
    Case(spikes_to_events, lambda b: (spikes_like(6, b, 13),)),
    Case(events_to_spikes, lambda b: (torch.randint(0, 4, (b + 2, 3), dtype=torch.int32),)),
    Case(hardware_weights_with_statistics, lambda b: (torch.randn(b, 7),)),
    Case(prepack, lambda b: (torch.randn(b, 7),)),
    Case(prepacked_graded_spikes, lambda b: (spikes_like(6, b, 5),)),
    Case(sparse_graded_spikes, lambda b: (spikes_like(6, b, 5), torch.randn(6) * 0.3), (0, 1)),
    Case(sparse_graded_spikes_float, lambda b: (spikes_like(6, b, 5), torch.randn(6) * 0.3), (0, 1)),
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
