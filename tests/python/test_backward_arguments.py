"""The backward operators are internal, but a wrong size gives an error and never reads beyond a tensor."""

import pytest
import torch

import gradspike  # noqa: F401  registers the operators

ops = torch.ops.gradspike
T, B, N = 4, 2, 3


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def lif_arguments() -> dict:
    parameters = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance")
    values = (0.0, 0.0, 1.0, 1e-5, 1e-5, 1e-5)
    return {
        "grad_spikes": torch.ones(T, B, N),
        "grad_membrane": torch.ones(T, B, N),
        "grad_current": torch.ones(T, B, N),
        "grad_final_state": torch.ones(3, B, N),
        "saved": torch.zeros(T, B, N),
        "current": torch.zeros(T, B, N),
        "coefficients": torch.ones(7, 1),
        **{name: number(value) for name, value in zip(parameters, values, strict=True)},
        "initial_state": torch.zeros(3, B, N),
        "measured_spikes": None,
        "measured_membrane": None,
        "dt": 1e-6,
        "surrogate": "superspike",
        "alpha": 50.0,
        "grad_mask": [True] * 8,
    }


def aelif_arguments() -> dict:
    names = ("exponential_slope", "exponential_threshold", "subthreshold_adaptation_strength")
    names += ("spike_triggered_adaptation_increment", "tau_adap")
    lif = lif_arguments()
    return {
        **{name: lif[name] for name in ("grad_spikes", "grad_membrane", "grad_current")},
        "grad_adaptation": torch.ones(T, B, N),
        "grad_final_state": torch.ones(4, B, N),
        "saved": torch.zeros(T, B, N),
        "blocked": torch.zeros(T, B, N, dtype=torch.uint8),
        "current": torch.zeros(T, B, N),
        "adaptation": torch.zeros(T, B, N),
        "coefficients": torch.ones(13, 1),
        **{n: lif[n] for n in ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance")},
        **{name: number(value) for name, value in zip(names, (0.1, 0.8, 0.1, 0.1, 1e-4), strict=True)},
        "initial_state": torch.zeros(4, B, N),
        "measured_spikes": None,
        "measured_membrane": None,
        "dt": 1e-6,
        **dict.fromkeys(("leaky", "fire", "exponential", "subthreshold_adaptation"), True),
        "spike_triggered_adaptation": True,
        "surrogate": "superspike",
        "alpha": 50.0,
        "grad_mask": [True] * 13,
    }


def li_arguments() -> dict:
    return {
        "grad_membrane": torch.ones(T, B, N),
        "grad_current": torch.ones(T, B, N),
        "grad_final_state": torch.ones(2, B, N),
        "membrane": torch.zeros(T, B, N),
        "current": torch.zeros(T, B, N),
        "coefficients": torch.ones(4, 1),
        "leak": number(0.0),
        "tau_mem": number(1e-5),
        "tau_syn": number(1e-5),
        "membrane_capacitance": number(1e-5),
        "initial_state": torch.zeros(2, B, N),
        "dt": 1e-6,
        "sizes": [T, B, N],
        "grad_mask": [True] * 6,
    }


def recurrent_arguments() -> dict:
    parameters = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance")
    values = (0.0, 0.0, 1.0, 1e-5, 1e-5, 1e-5)
    bounds = {f"{p}_{name}": v for p in ("input", "recurrent") for name, v in TRANSFORM.items()}
    return {
        "grad_spikes": torch.ones(T, B, N),
        "grad_membrane": torch.ones(T, B, N),
        "grad_current": torch.ones(T, B, N),
        "grad_final_state": torch.ones(4, B, N),
        "spikes": torch.ones(T, B, 5),
        "input_weight": torch.ones(N, 5),
        "recurrent_weight": torch.ones(N, N),
        "recurrent_mask": torch.ones(N, N, dtype=torch.bool),
        "input_integers": torch.ones(N, 5, dtype=torch.int8),
        "recurrent_integers": torch.ones(N, N, dtype=torch.int8),
        "saved": torch.zeros(T, B, N),
        "current": torch.zeros(T, B, N),
        "checkpoints": torch.zeros(2, 4, B, N),
        "coefficients": torch.ones(7, 1),
        **{name: number(value) for name, value in zip(parameters, values, strict=True)},
        "initial_state": torch.zeros(4, B, N),
        "measured_spikes": None,
        "measured_membrane": None,
        **bounds,
        "rounding": "half_even",
        "gradient": "clipped",
        "units": "model",
        "dt": 1e-6,
        "surrogate": "superspike",
        "alpha": 50.0,
        "recompute_every": 0,
        "grad_mask": [True] * 10,
    }


TRANSFORM = {"scale": 1.0, "min_weight": -63.0, "max_weight": 63.0}


def recomputing_arguments() -> dict:
    return recurrent_arguments() | {"recompute_every": 3, "saved": None, "current": None}


def graded_arguments() -> dict:
    return {
        "grad": torch.ones(T, B, N),
        "spikes": torch.ones(T, B, 5),
        "weight": torch.ones(N, 5),
        "hardware_weights": torch.ones(N, 5, dtype=torch.int8),
        "scale": 1.0,
        "min_weight": -63.0,
        "max_weight": 63.0,
        "rounding": "half_even",
        "gradient": "clipped",
        "units": "model",
        "grad_mask": [True, True],
    }


def sparse_arguments() -> dict:
    return {
        **{name: value for name, value in graded_arguments().items() if name != "weight"},
        "values": torch.ones(2),
        "connections": torch.tensor([[0, 2], [4, 0]]),
        "hardware_weights": torch.ones(2, dtype=torch.int16),
        "out_features": N,
    }


def stack_arguments() -> dict:
    """Of a stack of two weights."""
    stacked = {"grad": (2, B, N), "spikes": (2, B, 5), "weight": (2, N, 5), "hardware_weights": (2, N, 5)}
    tensors = {name: torch.ones(shape) for name, shape in stacked.items()}
    return {**graded_arguments(), **tensors, "hardware_weights": torch.ones(2, N, 5, dtype=torch.int8)}


def eventprop_synapse_arguments() -> dict:
    arguments = graded_arguments()
    del arguments["grad"]
    return {"grad": torch.ones(T, B, N), "grad_adjoint": torch.ones(T, B, N), **arguments}


def eventprop_arguments() -> dict:
    return {
        "grad_spikes": torch.ones(T, B, N),
        "saved": torch.zeros(T, B, N),
        "coefficients": torch.ones(8, 1),
        "grad_mask": [True, True],
    }


def exact_arguments() -> dict:
    return {**eventprop_arguments(), "coefficients": torch.ones(7, 1)}


def fused_arguments() -> dict:
    names = ("measured_spikes", "measured_membrane", "dt", "surrogate", "alpha")
    neurons = {name: value for name, value in lif_arguments().items() if name != "grad_mask"}
    tail = {name: neurons.pop(name) for name in names}
    grads = {name: neurons.pop(name) for name in list(neurons)[:4]}
    synapse = {name: value for name, value in graded_arguments().items() if name not in ("grad", "grad_mask")}
    tensors = {name: synapse.pop(name) for name in ("spikes", "weight", "hardware_weights")}
    return {
        **grads,
        **tensors,
        **neurons,
        **synapse,
        **tail,
        "packed_input": False,
        "recompute_every": 0,
        "grad_mask": [True] * 9,
    }


OPERATORS = {
    fused_arguments: ops._synapse_lif_backward,
    sparse_arguments: ops._sparse_graded_spikes_backward,
    lif_arguments: ops._lif_backward,
    li_arguments: ops._li_backward,
    aelif_arguments: ops._aelif_backward,
    graded_arguments: ops._graded_spikes_backward,
    stack_arguments: ops._graded_spikes_backward,
    eventprop_synapse_arguments: ops._eventprop_graded_spikes_backward,
    eventprop_arguments: ops._eventprop_lif_backward,
    exact_arguments: ops._exact_eventprop_lif_backward,
}

CASES = [
    *[(ops._synapse_lif_backward, fused_arguments, name, torch.ones(1, B, N)) for name in ("grad_spikes", "current")],
    (ops._synapse_lif_backward, fused_arguments, "grad_final_state", torch.ones(2, B, N)),
    (ops._synapse_lif_backward, fused_arguments, "saved", torch.ones(T, B, N + 1)),
    (ops._synapse_lif_backward, fused_arguments, "saved", torch.ones(T, B, N, dtype=torch.float64)),
    (ops._synapse_lif_backward, fused_arguments, "recompute_every", 2),
    (ops._synapse_lif_backward, fused_arguments, "current", None),
    (ops._synapse_lif_backward, fused_arguments, "coefficients", torch.ones(7, 2)),
    (ops._synapse_lif_backward, fused_arguments, "spikes", torch.ones(T, B, 4)),
    (ops._synapse_lif_backward, fused_arguments, "packed_input", True),
    (ops._synapse_lif_backward, fused_arguments, "hardware_weights", torch.ones(N, 4, dtype=torch.int8)),
    (ops._synapse_lif_backward, fused_arguments, "initial_state", torch.ones(3, 1, N)),
    (ops._sparse_graded_spikes_backward, sparse_arguments, "grad", torch.ones(T, B, N - 1)),
    (ops._sparse_graded_spikes_backward, sparse_arguments, "grad", torch.ones(T * B, N)),
    (ops._sparse_graded_spikes_backward, sparse_arguments, "spikes", torch.ones(T, B, 4)),
    (ops._sparse_graded_spikes_backward, sparse_arguments, "values", torch.ones(3)),
    (ops._sparse_graded_spikes_backward, sparse_arguments, "connections", torch.tensor([[0, 3], [4, 0]])),
    (ops._sparse_graded_spikes_backward, sparse_arguments, "connections", torch.tensor([[0, 2], [5, 0]])),
    (ops._sparse_graded_spikes_backward, sparse_arguments, "hardware_weights", torch.ones(1, dtype=torch.int16)),
    (ops._sparse_graded_spikes_backward, sparse_arguments, "hardware_weights", torch.ones(2, dtype=torch.int8)),
    *[(ops._lif_backward, lif_arguments, name, torch.ones(1, B, N)) for name in ("grad_spikes", "grad_membrane")],
    (ops._lif_backward, lif_arguments, "grad_current", torch.ones(T, B, 1)),
    (ops._lif_backward, lif_arguments, "grad_final_state", torch.ones(2, B, N)),
    (ops._lif_backward, lif_arguments, "saved", torch.ones(T, N)),
    (ops._lif_backward, lif_arguments, "current", torch.ones(T - 1, B, N)),
    (ops._lif_backward, lif_arguments, "current", None),
    (ops._lif_backward, lif_arguments, "coefficients", torch.ones(6, 1)),
    (ops._lif_backward, lif_arguments, "coefficients", torch.ones(7, 2)),
    (ops._lif_backward, lif_arguments, "coefficients", torch.ones(7, 1, dtype=torch.float64)),
    (ops._lif_backward, lif_arguments, "leak", torch.ones(N + 1)),
    (ops._lif_backward, lif_arguments, "initial_state", torch.ones(3, 1, N)),
    (ops._lif_backward, lif_arguments, "measured_spikes", torch.ones(T, B, 2)),
    (ops._lif_backward, lif_arguments, "measured_membrane", torch.ones(1, 1, 1)),
    (ops._lif_backward, lif_arguments, "surrogate", "step"),
    (ops._aelif_backward, aelif_arguments, "grad_spikes", torch.ones(1, B, N)),
    (ops._aelif_backward, aelif_arguments, "grad_adaptation", torch.ones(T, B, 1)),
    (ops._aelif_backward, aelif_arguments, "grad_final_state", torch.ones(3, B, N)),
    (ops._aelif_backward, aelif_arguments, "saved", torch.ones(T, N)),
    (ops._aelif_backward, aelif_arguments, "blocked", torch.zeros(T, B, N)),
    (ops._aelif_backward, aelif_arguments, "blocked", torch.zeros(T, B, 1, dtype=torch.uint8)),
    (ops._aelif_backward, aelif_arguments, "current", None),
    (ops._aelif_backward, aelif_arguments, "adaptation", None),
    (ops._aelif_backward, aelif_arguments, "adaptation", torch.ones(T - 1, B, N)),
    (ops._aelif_backward, aelif_arguments, "coefficients", torch.ones(7, 1)),
    (ops._aelif_backward, aelif_arguments, "tau_adap", torch.ones(N + 1)),
    (ops._aelif_backward, aelif_arguments, "initial_state", torch.ones(3, B, N)),
    (ops._aelif_backward, aelif_arguments, "measured_spikes", torch.ones(T, B, 2)),
    (ops._aelif_backward, aelif_arguments, "surrogate", "step"),
    (ops._li_backward, li_arguments, "grad_membrane", torch.ones(1, B, N)),
    (ops._li_backward, li_arguments, "grad_current", torch.ones(T, B, 1)),
    (ops._li_backward, li_arguments, "grad_final_state", torch.ones(3, B, N)),
    (ops._li_backward, li_arguments, "membrane", None),
    (ops._li_backward, li_arguments, "current", torch.ones(T, 1, N)),
    (ops._li_backward, li_arguments, "coefficients", torch.ones(4, N + 1)),
    (ops._li_backward, li_arguments, "tau_mem", torch.ones(N, 1)),
    (ops._li_backward, li_arguments, "sizes", [T + 1, B, N]),
    (ops._li_backward, li_arguments, "sizes", [-1, B, N]),
    *[
        (ops._recurrent_lif_backward, recurrent_arguments, name, torch.ones(1, B, N))
        for name in ("grad_spikes", "grad_membrane", "grad_current", "saved", "current", "initial_state")
    ],
    (ops._recurrent_lif_backward, recurrent_arguments, "grad_final_state", torch.ones(3, B, N)),
    (ops._recurrent_lif_backward, recurrent_arguments, "spikes", torch.ones(T + 1, B, 5)),
    (ops._recurrent_lif_backward, recurrent_arguments, "input_weight", torch.ones(N + 1, 5)),
    (ops._recurrent_lif_backward, recurrent_arguments, "recurrent_weight", torch.ones(N, 5)),
    (ops._recurrent_lif_backward, recurrent_arguments, "recurrent_mask", torch.ones(N, 5, dtype=torch.bool)),
    (ops._recurrent_lif_backward, recurrent_arguments, "input_integers", torch.ones(N, N, dtype=torch.int8)),
    (ops._recurrent_lif_backward, recurrent_arguments, "recurrent_integers", torch.ones(N, N, dtype=torch.int16)),
    (ops._recurrent_lif_backward, recurrent_arguments, "saved", None),
    (ops._recurrent_lif_backward, recurrent_arguments, "current", None),
    (ops._recurrent_lif_backward, recurrent_arguments, "coefficients", torch.ones(6, 1)),
    (ops._recurrent_lif_backward, recurrent_arguments, "coefficients", torch.ones(7, 2)),
    (ops._recurrent_lif_backward, recurrent_arguments, "leak", torch.ones(N + 1)),
    (ops._recurrent_lif_backward, recurrent_arguments, "measured_spikes", torch.ones(T, B, 2)),
    (ops._recurrent_lif_backward, recurrent_arguments, "measured_membrane", torch.ones(T + 1, B, N)),
    (ops._recurrent_lif_backward, recomputing_arguments, "checkpoints", None),
    (ops._recurrent_lif_backward, recomputing_arguments, "checkpoints", torch.ones(1, 4, B, N)),
    (ops._graded_spikes_backward, graded_arguments, "grad", torch.ones(T, B, N - 1)),
    (ops._graded_spikes_backward, graded_arguments, "grad", torch.ones(T * B, N)),
    (ops._graded_spikes_backward, graded_arguments, "spikes", torch.ones(T + 1, B, 5)),
    (ops._graded_spikes_backward, graded_arguments, "hardware_weights", torch.ones(N, 4, dtype=torch.int8)),
    (ops._graded_spikes_backward, graded_arguments, "hardware_weights", torch.ones(N, 5, dtype=torch.int16)),
    (ops._graded_spikes_backward, stack_arguments, "grad", torch.ones(3, B, N)),
    (ops._graded_spikes_backward, stack_arguments, "grad", torch.ones(2)),
    (ops._graded_spikes_backward, stack_arguments, "spikes", torch.ones(3, B, 5)),
    (ops._graded_spikes_backward, stack_arguments, "spikes", torch.ones(5)),
    (ops._graded_spikes_backward, stack_arguments, "hardware_weights", torch.ones(N, 5, dtype=torch.int8)),
    (ops._graded_spikes_backward, stack_arguments, "hardware_weights", torch.ones(2, N, 4, dtype=torch.int8)),
    (ops._graded_spikes_backward, stack_arguments, "hardware_weights", torch.ones(1, N, 5, dtype=torch.int8)),
    (ops._eventprop_graded_spikes_backward, eventprop_synapse_arguments, "grad", torch.ones(T, B, N - 1)),
    (ops._eventprop_graded_spikes_backward, eventprop_synapse_arguments, "grad_adjoint", torch.ones(T, 1, N)),
    (ops._eventprop_graded_spikes_backward, eventprop_synapse_arguments, "grad_adjoint", None),
    (ops._eventprop_graded_spikes_backward, eventprop_synapse_arguments, "grad", None),
    (ops._eventprop_graded_spikes_backward, eventprop_synapse_arguments, "spikes", torch.ones(T + 1, B, 5)),
    *[
        (op, arguments, *change)
        for op, arguments in (
            (ops._eventprop_lif_backward, eventprop_arguments),
            (ops._exact_eventprop_lif_backward, exact_arguments),
        )
        for change in (
            ("grad_spikes", torch.ones(T, B, N + 1)),
            ("saved", torch.ones(T, N)),
            ("saved", torch.ones(T, B, N, dtype=torch.int32)),
            ("saved", torch.ones(T, B, N, dtype=torch.bfloat16)),
            ("coefficients", torch.ones(6, 1)),
            ("coefficients", torch.ones(8, 2)),
        )
    ],
]


@pytest.mark.parametrize("arguments", list(OPERATORS))
def test_the_unchanged_arguments_are_accepted(arguments) -> None:
    assert all(gradient.isfinite().all() for gradient in OPERATORS[arguments](**arguments()))


@pytest.mark.parametrize(
    ("op", "arguments", "name", "value"), CASES, ids=[f"{c[0]}-{c[2]}-{k}" for k, c in enumerate(CASES)]
)
def test_a_wrong_argument_is_refused_by_name(op, arguments, name, value) -> None:
    with pytest.raises(RuntimeError) as error:
        op(**{**arguments(), name: value})
    sentence = str(error.value).splitlines()[0]
    assert "must" in sentence or "current" in sentence, sentence


def test_linear_saturating_backward_refuses_another_shape() -> None:
    with pytest.raises(RuntimeError, match="grad must have the shape"):
        ops._linear_saturating_backward(torch.ones(3), torch.ones(4), 1.0, -1.0, 1.0, "clipped")
