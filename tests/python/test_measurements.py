"""Measurements of fewer steps than the run: what was measured replaces the model's values, then the model goes on."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradspike.functional import li, lif
from neurons import LI_NAMES, NUMBERS, TRAINABLE, drive, heterogeneous, li_parameters, relative_error
from reference import eager

T, B, N = 24, 3, 5
ALL = "spikes+membrane+current"
LENGTHS = (1, 7, T - 1, T)
KINDS = ("spikes", "membrane", "both", "spikes longer", "membrane longer")


def measured_of(kind, steps, shape=(T, B, N), dtype=torch.float32):
    """Measurements of `steps` steps; the longer one of two has three more."""
    more = min(steps + 3, shape[0])
    lengths = {
        "spikes": {"measured_spikes": steps},
        "membrane": {"measured_membrane": steps},
        "both": {"measured_spikes": steps, "measured_membrane": steps},
        "spikes longer": {"measured_spikes": more, "measured_membrane": steps},
        "membrane longer": {"measured_spikes": steps, "measured_membrane": more},
    }[kind]
    spikes, membrane = (torch.rand(shape) < 0.2) * 2.0, torch.randn(shape)
    values = {"measured_spikes": spikes.to(dtype), "measured_membrane": membrane.to(dtype)}
    return {name: values[name][:length] for name, length in lengths.items()}


def parameters_of(refractory_steps, dtype=torch.float32):
    return heterogeneous(TRAINABLE, N, dtype) | {"refractory_time": refractory_steps * 1e-6}


def assert_same_bits(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        assert torch.equal(a, e)


@pytest.mark.parametrize("refractory_steps", [0, 3])
@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("kind", ["spikes", "membrane", "both"])
def test_the_model_goes_on_from_what_was_measured(kind, steps, refractory_steps):
    x, parameters, data = drive(T, B, N), parameters_of(refractory_steps), measured_of(kind, steps)
    whole = lif(x, **parameters, outputs=ALL, **data)
    first = lif(x[:steps], **parameters, outputs=ALL, **data)
    rest = lif(x[steps:], **parameters, outputs=ALL, initial_state=first.state)
    joined = [torch.cat(pair) for pair in zip(first[:3], rest[:3])]
    assert_same_bits(whole, (*joined, rest.state))
    for name, value in data.items():
        assert torch.equal(getattr(whole, name.removeprefix("measured_"))[:steps], value)


@pytest.mark.parametrize("refractory_steps", [0, 3])
@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_bits_of_the_eager_loop(kind, steps, refractory_steps):
    x, parameters, data = drive(T, B, N), parameters_of(refractory_steps), measured_of(kind, steps)
    assert_same_bits(lif(x, **parameters, outputs=ALL, **data), eager.lif(x, parameters, **data))


@pytest.mark.parametrize("steps", LENGTHS)
def test_li_bits_of_the_eager_loop(steps):
    x, parameters = drive(T, B, N), li_parameters(parameters_of(0))
    data = {"measured_membrane": torch.randn(steps, B, N)}
    whole = li(x, **parameters, outputs="membrane+current", **data)
    assert_same_bits(whole, eager.li(x, parameters, **data))
    first = li(x[:steps], **parameters, outputs="membrane+current", **data)
    rest = li(x[steps:], **parameters, outputs="membrane+current", initial_state=first.state)
    assert torch.equal(whole.membrane, torch.cat([first.membrane, rest.membrane]))
    assert torch.equal(whole.state, rest.state)


def gradients(run, names, x, parameters, states, **data):
    """Of a weighted sum of all outputs to input, state and parameters."""
    generator = torch.Generator().manual_seed(3)
    leaves = [x, states, *(parameters[name] for name in names)]
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    outputs = run(leaves[0], parameters | dict(zip(names, leaves[2:])), leaves[1], **data)
    weights = [torch.randn(output.shape, generator=generator, dtype=x.dtype) for output in outputs]
    weights[-1][2:] = 0.0  # the refractory counter has no gradient
    loss = sum((output * weight).sum() for output, weight in zip(outputs, weights))
    result = torch.autograd.grad(loss, leaves, allow_unused=True)
    result = [torch.zeros_like(leaf) if gradient is None else gradient for gradient, leaf in zip(result, leaves)]
    return dict(zip(("input", "state", *names), (result[0], result[1][:2], *result[2:])))


def lif_of(x, p, state, **data):
    return lif(x, **p, initial_state=state, outputs=ALL, **data)


def lif_state(dtype=torch.float64):
    return torch.cat([torch.randn(2, B, N), torch.randint(0, 3, (1, B, N)).float()]).to(dtype)


@pytest.mark.parametrize("refractory_steps", [0, 3])
@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_eager_loop(kind, steps, refractory_steps):
    x, parameters = drive(T, B, N, torch.float64), parameters_of(refractory_steps, torch.float64)
    data, state = measured_of(kind, steps, dtype=torch.float64), lif_state()
    actual = gradients(lif_of, TRAINABLE, x, parameters, state, **data)
    expected = gradients(lambda x, p, s, **d: eager.lif(x, p, state=s, **d), TRAINABLE, x, parameters, state, **data)
    for name in expected:
        assert relative_error(actual[name], expected[name]) < 1e-11, name


@pytest.mark.parametrize("steps", LENGTHS)
def test_li_gradients_are_those_of_the_eager_loop(steps):
    x, parameters = drive(T, B, N, torch.float64), li_parameters(parameters_of(0, torch.float64))
    data = {"measured_membrane": torch.randn(steps, B, N, dtype=torch.float64)}
    state = torch.randn(2, B, N, dtype=torch.float64)
    run = lambda x, p, s, **d: li(x, **p, initial_state=s, outputs="membrane+current", **d)  # noqa: E731
    actual = gradients(run, LI_NAMES, x, parameters, state, **data)
    expected = gradients(lambda x, p, s, **d: eager.li(x, p, state=s, **d), LI_NAMES, x, parameters, state, **data)
    for name in expected:
        assert relative_error(actual[name], expected[name]) < 1e-11, name


@pytest.mark.parametrize("kind", ["spikes", "membrane", "both"])
def test_nothing_measured_is_no_measurement(kind):
    x, parameters, state = drive(T, B, N), parameters_of(2), lif_state(torch.float32)
    data = measured_of(kind, 0)
    assert all(value.shape[0] == 0 for value in data.values())
    assert_same_bits(lif(x, **parameters, outputs=ALL, **data), lif(x, **parameters, outputs=ALL))
    actual = gradients(lif_of, TRAINABLE, x, parameters, state, **data)
    expected = gradients(lif_of, TRAINABLE, x, parameters, state)
    assert_same_bits(actual.values(), expected.values())


def test_li_nothing_measured_is_no_measurement():
    x = drive(T, B, N)
    nothing = torch.empty(0, B, N)
    assert_same_bits(li(x, measured_membrane=nothing), li(x))


@pytest.mark.parametrize("name", ["measured_spikes", "measured_membrane"])
def test_more_steps_than_the_input_are_refused(name):
    data = {name: torch.zeros(T + 1, B, N)}
    message = f"{name} must not have more time steps than the run, {T}, got {T + 1}"
    with pytest.raises(RuntimeError, match=f"lif: {message}"):
        lif(torch.zeros(T, B, N), **data)
    if name == "measured_membrane":
        with pytest.raises(RuntimeError, match=f"li: {message}"):
            li(torch.zeros(T, B, N), **data)


@pytest.mark.parametrize("kind", KINDS)
def test_measurements_of_any_layout_and_dtype(kind):
    x, data = drive(T, B, N), measured_of(kind, 9)
    expected = lif(x, **NUMBERS, outputs=ALL, **data)
    strided = {name: value.transpose(0, 2).contiguous().transpose(0, 2) for name, value in data.items()}
    assert_same_bits(lif(x, **NUMBERS, outputs=ALL, **strided), expected)
    double = {name: value.double() for name, value in data.items()}
    assert_same_bits(lif(x, **NUMBERS, outputs=ALL, **double), expected)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.integers(0, 3), st.integers(0, 2**31))
def test_any_lengths(time, spike_steps, membrane_steps, refractory_steps, seed):
    torch.manual_seed(seed)
    x = drive(time, 2, 3)
    parameters = NUMBERS | {"refractory_time": refractory_steps * 1e-6}
    data = {
        "measured_spikes": (torch.rand(min(spike_steps, time), 2, 3) < 0.3).float(),
        "measured_membrane": torch.randn(min(membrane_steps, time), 2, 3),
    }
    assert_same_bits(lif(x, **parameters, outputs=ALL, **data), eager.lif(x, parameters, **data))


@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
def test_a_measured_spike_that_is_no_number_blocks_nothing(refractory_time):
    x, nan = torch.randn(4, 1, 1), torch.full((2, 1, 1), float("nan"))
    whole = lif(x, measured_spikes=nan, refractory_time=refractory_time)
    first = lif(x[:2], measured_spikes=nan, refractory_time=refractory_time)
    rest = lif(x[2:], initial_state=first.state, refractory_time=refractory_time)
    assert torch.equal(whole.state[2], rest.state[2]) and torch.equal(whole.state[2], torch.zeros(1, 1))
