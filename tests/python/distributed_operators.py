"""A call of every operator with small tensors, and which of their dimensions the sharding rules leave split."""

from dataclasses import dataclass, field
from typing import Callable, Dict, Tuple

import torch

from gradspike import functional as F

T, B, IN, N = 6, 6, 5, 8
SPLIT = {(0, 1): 1, (0, 2): 2}
"""A trace first: batch and neurons stay split."""


@dataclass(frozen=True)
class Operator:
    """`split` maps (tensor, its dimension) to the dimension of the first result that is split with it; when any other
    dimension of a tensor is split, everything is computed in each process. `differentiable` are positions. `exact`: all
    products and sums of its gradients fit into double precision, so that no order of summation shows."""

    call: Callable[..., object]
    tensors: Callable[[torch.dtype], Tuple[torch.Tensor, ...]]
    differentiable: Tuple[int, ...] = ()
    split: Dict[Tuple[int, int], int] = field(default_factory=dict)
    exact: bool = True


def spikes(dtype, *shape):
    return (torch.rand(*shape) < 0.4).to(dtype)


def weight(dtype, *shape, unit=16):
    """Float64: sixteenths; float32: any values."""
    values = torch.randint(-40, 60, shape).to(dtype) / unit
    return values if dtype is torch.float64 else values * 0.9


def per_neuron(dtype, center, spread=0.5):
    return center * (1.0 - spread / 2 + spread * torch.rand(N)).to(dtype)


SHARE = 3 / 128
"""Of an integer: so that a scale has a gradient."""


def connected(dtype, share=0.0):
    """Connections of a sparse projection: about half of N x IN."""
    index = (torch.arange(N * IN).reshape(N, IN) % 3 != 1).nonzero().t().contiguous()
    return spikes(dtype, T, B, IN), weight(dtype, index.shape[1]) + share, index


def input_of(dtype, scale=4.0):
    return (torch.randint(-8, 17, (T, B, N)) / 8 * scale).to(dtype)


UNITS = {"dt": 1.0, "tau_syn": 2.0, "membrane_capacitance": 2.0, "surrogate": "box", "alpha": 1.0}
POWERS = {name: UNITS[name] for name in ("dt", "tau_syn", "membrane_capacitance")}


def taus(dtype):
    return 2.0 ** torch.randint(1, 3, (N,)).to(dtype)


def synapse_lif(spikes, weight, tau, **options):
    out = F.synapse_lif(spikes, weight, 0.0, 0.0, 1.0, tau, **UNITS, scale=16.0, outputs="spikes+membrane", **options)
    return out.spikes, out.membrane, out.state


def synapse_lif_packed(packed, weight):
    out = F.synapse_lif(packed, weight, scale=16.0, packed_input=True, spike_format="packed", outputs="spikes+current")
    return out.spikes, out.current


def synapse_lif_streamed(spikes, weight, state, measured):
    out = F.synapse_lif(
        spikes, weight, refractory_time=2e-6, scale=16.0, outputs="membrane+spikes", spike_format="float",
        initial_state=state, measured_spikes=measured,
    )  # fmt: skip
    return out.membrane, out.spikes, out.state


def recurrent_lif(spikes, input_weight, recurrent_weight, tau, **options):
    out = F.recurrent_lif(
        spikes, input_weight, recurrent_weight, 0.0, 0.0, 1.0, tau, **UNITS, input_scale=16.0, recurrent_scale=16.0,
        outputs="spikes+membrane", **options,
    )  # fmt: skip
    return out.spikes, out.membrane, out.state


def recurrent_lif_masked(spikes, input_weight, recurrent_weight, mask, state):
    out = F.recurrent_lif(
        spikes, input_weight, recurrent_weight, recurrent_mask=mask, rounding="none", initial_state=state
    )
    return out.spikes, out.state


def aelif(input, leak, slope, tau_adap, state):
    out = F.aelif(
        input, leak, exponential_slope=slope, tau_adap=tau_adap, refractory_time=1e-6, initial_state=state,
        outputs="spikes+membrane+adaptation",
    )  # fmt: skip
    return out.spikes, out.membrane, out.adaptation, out.state


def refractory_of_each_neuron(input, refractory_time):
    out = F.lif(input, refractory_time=refractory_time, outputs="spikes+membrane")
    return out.spikes, out.membrane


def eventprop_lif(input, adjoint, threshold, measured):
    out = F.eventprop_lif(input, adjoint, threshold=threshold, measured_spikes=measured, outputs="spikes+current")
    return out.spikes, out.current


def exact_eventprop_lif(input, adjoint, tau):
    out = F.exact_eventprop_lif(input, adjoint, tau_mem=tau, refractory_time=1e-6, outputs="spikes+membrane")
    return out.spikes, out.membrane, out.state


def eventprop_layer(spikes, weight):
    return F.exact_eventprop_lif(*F.eventprop_graded_spikes(spikes, weight, 16.0)).spikes


def prepacked(spikes, *packed):
    return F.prepacked_graded_spikes(spikes, *packed, N, 16.0)


def parts_of(weights):
    out = F.prepack(weights, 16.0)
    return out.rows, out.groups, out.matrix, out.nan_posts


def state_of(dtype, rows):
    state = torch.randint(0, 3, (rows, B, N)).to(dtype) / 4
    state[2] = torch.randint(0, 2, (B, N))
    return state


ops = torch.ops.gradspike
BATCH_AND_ROWS = {(0, 0): 0, (0, 1): 1, (1, 0): 2}
"""Spikes and a weight: time, batch and output neurons stay split."""
FUSED = {(0, 1): 1, (1, 0): 2}
"""Spikes and a weight of neurons: batch and neurons."""

OPERATORS = {
    "linear_saturating": Operator(
        lambda w: F.linear_saturating(w, 16.0, gradient="returning"),
        lambda d: (weight(d, N, IN),),
        (0,),
        {(0, 0): 0, (0, 1): 1},
    ),
    "linear_saturating with a scale": Operator(
        F.linear_saturating, lambda d: (weight(d, N, IN), torch.tensor(16.0)), (0, 1), {(0, 0): 0, (0, 1): 1}
    ),
    "hardware_weights": Operator(
        lambda w: F.hardware_weights(w, 16.0), lambda d: (weight(d, N, IN),), (), {(0, 0): 0, (0, 1): 1}
    ),
    "hardware_weights with a scale": Operator(
        F.hardware_weights, lambda d: (weight(d, N, IN), torch.tensor(16.0)), (), {(0, 0): 0, (0, 1): 1}
    ),
    "weight_statistics": Operator(lambda w: ops.weight_statistics(w, 16.0), lambda d: (weight(d, N, IN),)),
    "hardware_weights_with_statistics": Operator(
        lambda w: ops.hardware_weights_with_statistics(w, 16.0), lambda d: (weight(d, N, IN),)
    ),
    "connections": Operator(lambda w: F.connections(w, 16.0), lambda d: (weight(d, N, IN),)),
    "prepack": Operator(parts_of, lambda d: (weight(d, N, IN),)),
    "prepacked_graded_spikes": Operator(
        prepacked, lambda d: (spikes(d, T, B, IN), *parts_of(weight(d, N, IN))), (), {(0, 0): 0, (0, 1): 1}
    ),
    "graded_spikes": Operator(
        lambda s, w: F.graded_spikes(s, w, 16.0),
        lambda d: (spikes(d, T, B, IN), weight(d, N, IN)),
        (0, 1),
        BATCH_AND_ROWS,
    ),
    "eventprop_graded_spikes": Operator(
        lambda s, w: F.eventprop_graded_spikes(s, w, 16.0),
        lambda d: (spikes(d, T, B, IN), weight(d, N, IN)),
        (0, 1),
        BATCH_AND_ROWS,
    ),
    "eventprop_graded_spikes with a scale": Operator(
        F.eventprop_graded_spikes,
        lambda d: (spikes(d, T, B, IN), weight(d, N, IN) + SHARE, torch.tensor(16.0)),
        (0, 1, 2),
        BATCH_AND_ROWS,
    ),
    "eventprop_graded_spikes returning": Operator(
        lambda s, w: F.eventprop_graded_spikes(s, w, 16.0, gradient="returning"),
        lambda d: (spikes(d, T, B, IN), weight(d, N, IN, unit=4)),
        (0, 1),
        BATCH_AND_ROWS,
    ),
    "sparse_graded_spikes": Operator(
        lambda s, v, c: F.sparse_graded_spikes(s, v, c, N, 16.0), connected, (0, 1), {(0, 0): 0, (0, 1): 1}
    ),
    "sparse_graded_spikes with a scale": Operator(
        lambda s, v, c, scale: F.sparse_graded_spikes(s, v, c, N, scale),
        lambda d: (*connected(d, SHARE), torch.tensor(16.0)),
        (0, 1, 3),
        {(0, 0): 0, (0, 1): 1},
    ),
    "sparse_graded_spikes returning": Operator(
        lambda s, v, c: F.sparse_graded_spikes(s, v, c, N, 16.0, rounding="none", gradient="returning"),
        connected,
        (0, 1),
        {(0, 0): 0, (0, 1): 1},
    ),
    "pack_spikes": Operator(
        lambda s: tuple(F.pack_spikes(s)), lambda d: (2 * spikes(d, T, B, N + 3),), (), {(0, 0): 0, (0, 1): 1}
    ),
    "unpack_spikes": Operator(
        lambda p: F.unpack_spikes(p, 11),
        lambda d: (torch.randint(0, 8, (T, B, 2), dtype=torch.uint8),),
        (),
        {(0, 0): 0, (0, 1): 1},
    ),
    "spikes_to_events": Operator(lambda s: tuple(F.spikes_to_events(s, 300)), lambda d: (spikes(d, T, B, N),)),
    "events_to_spikes": Operator(
        lambda e, c: tuple(F.events_to_spikes(e, c, 5, 4, 3)),
        lambda d: (torch.randint(0, 4, (9, 3), dtype=torch.int32), torch.tensor([7])),
    ),
    "lif": Operator(
        lambda x, tau: F.lif(x, 0.0, 0.0, 1.0, tau, **UNITS).spikes,
        lambda d: (input_of(d), taus(d)),
        (0, 1),
        {**SPLIT, (1, 0): 2},
    ),
    "lif with refractory times": Operator(
        refractory_of_each_neuron,
        lambda d: (input_of(d), torch.arange(N) % 3 * 1e-6),
        (0,),
        {**SPLIT, (1, 0): 2},
        exact=False,
    ),
    "li": Operator(
        lambda x, tau: F.li(x, 0.0, tau, **POWERS).membrane,
        lambda d: (input_of(d), taus(d)),
        (0, 1),
        {**SPLIT, (1, 0): 2},
    ),
    "aelif": Operator(
        aelif,
        lambda d: (
            input_of(d, 2.0),
            per_neuron(d, 0.1),
            per_neuron(d, 0.2),
            per_neuron(d, 5e-5),
            torch.rand(4, B, N).to(d) * 0.3,
        ),
        (0, 1, 2, 3, 4),
        {**SPLIT, (1, 0): 2, (2, 0): 2, (3, 0): 2, (4, 1): 1, (4, 2): 2},
        exact=False,
    ),
    "eventprop_lif": Operator(
        eventprop_lif,
        lambda d: (input_of(d), torch.zeros(T, B, N, dtype=d), per_neuron(d, 1.0), spikes(d, 3, B, N)),
        (0, 1),
        {**SPLIT, (1, 1): 1, (1, 2): 2, (2, 0): 2, (3, 1): 1, (3, 2): 2},
        exact=False,
    ),
    "exact_eventprop_lif": Operator(
        exact_eventprop_lif,
        lambda d: (input_of(d, 8.0), torch.zeros(T, B, N, dtype=d), per_neuron(d, 1e-5)),
        (0, 1),
        {**SPLIT, (1, 1): 1, (1, 2): 2, (2, 0): 2},
        exact=False,
    ),
    "eventprop_layer": Operator(
        eventprop_layer, lambda d: (spikes(d, T, B, IN), weight(d, N, IN)), (0, 1), FUSED, exact=False
    ),
    "synapse_lif": Operator(
        synapse_lif,
        lambda d: (spikes(d, T, B, IN), weight(d, N, IN), taus(d)),
        (0, 1, 2),
        {**FUSED, (2, 0): 2},
    ),
    "synapse_lif recomputed": Operator(
        lambda *t: synapse_lif(*t, recompute_every=4),
        lambda d: (spikes(d, T, B, IN), weight(d, N, IN), taus(d)),
        (0, 1, 2),
        {**FUSED, (2, 0): 2},
    ),
    "synapse_lif returning": Operator(
        lambda *t: synapse_lif(*t, gradient="returning"),
        lambda d: (spikes(d, T, B, IN), weight(d, N, IN, unit=4), taus(d)),
        (0, 1, 2),
        {**FUSED, (2, 0): 2},
    ),
    "synapse_lif float": Operator(
        lambda *t: synapse_lif(*t, rounding="none"),
        lambda d: (spikes(d, T, B, IN), weight(d, N, IN), taus(d)),
        (0, 1, 2),
    ),
    "synapse_lif packed": Operator(
        synapse_lif_packed,
        lambda d: (torch.randint(0, 32, (T, B, 1), dtype=torch.uint8), weight(d, N, IN)),
        (),
        {(0, 1): 1},
    ),
    "synapse_lif streamed": Operator(
        synapse_lif_streamed,
        lambda d: (spikes(d, T, B, IN), weight(d, N, IN), state_of(d, 3), spikes(d, 3, B, N)),
        (0, 1, 2),
        {**FUSED, (2, 1): 1, (2, 2): 2, (3, 1): 1, (3, 2): 2},
        exact=False,
    ),
    "recurrent_lif": Operator(
        recurrent_lif,
        lambda d: (spikes(d, T, B, IN), weight(d, N, IN), weight(d, N, N, unit=64), taus(d)),
        (0, 1, 2, 3),
        {(0, 1): 1},
        exact=False,
    ),
    "recurrent_lif recomputed": Operator(
        lambda *t: recurrent_lif(*t, recompute_every=4),
        lambda d: (spikes(d, T, B, IN), weight(d, N, IN), weight(d, N, N, unit=64), taus(d)),
        (0, 1, 2, 3),
        {(0, 1): 1},
        exact=False,
    ),
    "recurrent_lif returning": Operator(
        lambda *t: recurrent_lif(*t, gradient="returning"),
        lambda d: (spikes(d, T, B, IN), weight(d, N, IN, unit=4), weight(d, N, N, unit=8), taus(d)),
        (0, 1, 2, 3),
        {(0, 1): 1},
        exact=False,
    ),
    "recurrent_lif masked": Operator(
        recurrent_lif_masked,
        lambda d: (
            spikes(d, T, B, IN),
            weight(d, N, IN),
            weight(d, N, N),
            torch.rand(N, N) < 0.5,
            torch.rand(4, B, N).to(d).round(),
        ),
        (0, 1, 2, 4),
        {(0, 1): 1, (4, 1): 1},
        exact=False,
    ),
}
