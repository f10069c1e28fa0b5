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


CASES = [
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
]


@pytest.mark.parametrize(
    "arguments", [lif_arguments, li_arguments, graded_arguments, recurrent_arguments, recomputing_arguments]
)
def test_the_unchanged_arguments_are_accepted(arguments) -> None:
    known = {lif_arguments: ops._lif_backward, li_arguments: ops._li_backward}
    known |= dict.fromkeys((recurrent_arguments, recomputing_arguments), ops._recurrent_lif_backward)
    op = known.get(arguments, ops._graded_spikes_backward)
    assert all(gradient.isfinite().all() for gradient in op(**arguments()))


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
