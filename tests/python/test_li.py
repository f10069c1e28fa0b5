import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradspike.functional import LIOutput, li, lif
from neurons import LI_NAMES, NUMBERS, drive, heterogeneous, li_parameters, relative_error, to_double, to_numpy
from reference import eager
from reference import li as reference

ALL = "membrane+current"


def assert_same_bits(result, expected):
    for name, actual, wanted in zip(LIOutput._fields, result, expected):
        assert actual.dtype == wanted.dtype, name
        assert torch.equal(actual, wanted), name


def some_parameters(names, neurons, dtype=torch.float32):
    return li_parameters(heterogeneous(names, neurons, dtype))


@pytest.mark.parametrize("per_neuron", [(), LI_NAMES])
@pytest.mark.parametrize("with_measured", [False, True])
@pytest.mark.parametrize("with_state", [False, True])
def test_values_in_float64(per_neuron, with_measured, with_state):
    x = drive(30, 2, 5, torch.float64)
    parameters = some_parameters(per_neuron, 5, torch.float64)
    data = {"measured_membrane": torch.randn_like(x)} if with_measured else {}
    state = torch.randn(2, 2, 5, dtype=torch.float64) if with_state else None
    result = li(x, **parameters, outputs=ALL, initial_state=state, **data)
    expected = reference.li(
        x.numpy(), to_numpy(parameters), state=None if state is None else state.numpy(),
        **{name: value.numpy() for name, value in data.items()},
    )  # fmt: skip
    for name, actual, wanted in zip(LIOutput._fields, result, expected):
        torch.testing.assert_close(actual, torch.from_numpy(wanted), rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("per_neuron", [(), LI_NAMES])
def test_bits_of_the_eager_loop_over_a_million_steps(per_neuron):
    x = drive(250, 33, 129)
    parameters = some_parameters(per_neuron, 129)
    assert_same_bits(li(x, **parameters, outputs=ALL), eager.li(x, parameters))


@pytest.mark.parametrize("names", [c for n in range(5) for c in itertools.combinations(LI_NAMES, n)])
def test_coefficient_rule_for_numbers_and_tensors_mixed(names):
    x = drive(40, 3, 64)
    parameters = some_parameters(names, 64)
    assert_same_bits(li(x, **parameters, outputs=ALL), eager.li(x, parameters))


def test_is_a_lif_that_never_fires():
    x = drive(40, 3, 5)
    silent = lif(x, **(NUMBERS | {"threshold": 1e30}), outputs=ALL)
    result = li(x, **li_parameters(NUMBERS), outputs=ALL)
    assert torch.equal(result.membrane, silent.membrane)
    assert torch.equal(result.current, silent.current)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (0, 2, 3), (4, 0, 3), (4, 2, 0), (2, 1, 1025)])
def test_sizes(shape):
    x = drive(*shape)
    parameters = li_parameters(NUMBERS)
    assert_same_bits(li(x, **parameters, outputs=ALL), eager.li(x, parameters))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_input_is_widened(dtype):
    x = drive(30, 2, 5).to(dtype)
    assert_same_bits(li(x, outputs=ALL), li(x.float(), outputs=ALL))


def test_non_contiguous():
    x = drive(20, 6, 8)
    view = x.transpose(0, 2).contiguous().transpose(0, 2)
    assert not view.is_contiguous()
    assert_same_bits(li(view, outputs=ALL), li(x, outputs=ALL))


@pytest.mark.parametrize("outputs", ["membrane", "current", "current+membrane", ""])
def test_only_the_outputs_asked_for(outputs):
    x = drive(20, 2, 3)
    result, full = li(x, outputs=outputs), li(x, outputs=ALL)
    for name in ("membrane", "current"):
        wanted = getattr(full, name) if name in outputs.split("+") else torch.empty(0)
        assert torch.equal(getattr(result, name), wanted)
    assert torch.equal(result.state, full.state)


@pytest.mark.parametrize("chunk", [1, 7])
def test_streaming_gives_the_bits_of_the_whole_run(chunk):
    x = drive(50, 3, 11)
    whole = li(x, leak=0.3, outputs=ALL)
    state, membranes = None, []
    for part in x.split(chunk):
        out = li(part, leak=0.3, initial_state=state)
        state = out.state
        membranes.append(out.membrane)
    assert torch.equal(torch.cat(membranes), whole.membrane)
    assert torch.equal(state, whole.state)


# ---- gradients ---------------------------------------------------------------------------------------------------


def leaves_of(time, batch, neurons):
    """Input, leak, taus and capacitance in microseconds, and a state: all of order 1, for numerical derivatives."""
    tensors = (
        torch.randn(time, batch, neurons), torch.randn(neurons), torch.rand(neurons) * 5 + 5,
        torch.rand(neurons) * 5 + 5, torch.rand(neurons) * 5 + 5, torch.randn(2, batch, neurons),
    )  # fmt: skip
    return tuple(tensor.double().requires_grad_() for tensor in tensors)


def run(x, leak, tau_mem, tau_syn, capacitance, state):
    return li(x, leak, tau_mem * 1e-6, tau_syn * 1e-6, capacitance * 1e-6, outputs=ALL, initial_state=state)


def test_gradcheck():
    assert torch.autograd.gradcheck(lambda *leaves: tuple(run(*leaves)), leaves_of(6, 2, 3))


def test_gradcheck_without_a_state():
    x, leak, *_ = leaves_of(5, 2, 3)
    assert torch.autograd.gradcheck(lambda x, leak: li(x, leak).membrane, (x, leak))


def test_gradcheck_of_numbers():
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    leak = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    tau = torch.tensor(8.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda leak, tau: li(x, leak, tau * 1e-6, tau * 1e-6).membrane, (leak, tau))


@pytest.mark.parametrize("with_measured", [False, True])
def test_gradients_in_float64_are_those_of_the_eager_loop(with_measured):
    leaves = leaves_of(30, 3, 5)
    data = {"measured_membrane": torch.randn(30, 3, 5, dtype=torch.float64)} if with_measured else {}
    x, leak, tau_mem, tau_syn, capacitance, state = leaves
    names = dict(zip(LI_NAMES, (leak, tau_mem * 1e-6, tau_syn * 1e-6, capacitance * 1e-6)))
    results = (li(x, **names, outputs=ALL, initial_state=state, **data), eager.li(x, names, state=state, **data))
    weights = [torch.randn_like(output) for output in results[0]]
    actual, expected = (
        torch.autograd.grad(
            sum((o * w).sum() for o, w in zip(out, weights)), leaves, retain_graph=True, allow_unused=True
        )
        for out in results
    )
    for a, e in zip(actual, expected):
        e = torch.zeros_like(a) if e is None else e
        assert relative_error(a, e) < 1e-11


def test_gradients_in_float32_lie_near_the_float64_loop():
    x = drive(120, 8, 20)
    parameters = some_parameters(LI_NAMES, 20)
    weights = torch.randn(120, 8, 20)
    single = [tensor.clone().requires_grad_() for tensor in (x, *parameters.values())]
    double = [tensor.clone().requires_grad_() for tensor in (x.double(), *to_double(parameters).values())]
    (li(single[0], *single[1:]).membrane * weights).sum().backward()
    (eager.li(double[0], dict(zip(LI_NAMES, double[1:])))[0] * weights.double()).sum().backward()
    for a, e in zip(single, double):
        assert relative_error(a.grad, e.grad) < 2e-5


def test_gradient_through_current_alone():
    x = drive(15, 2, 3, torch.float64).requires_grad_()
    twin = x.detach().clone().requires_grad_()
    li(x, outputs="current").current.square().sum().backward()
    eager.li(twin, li_parameters(NUMBERS) | {"leak": 0.0, "tau_syn": 10e-6})[1].square().sum().backward()
    assert relative_error(x.grad, twin.grad) < 1e-12


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(-4, 4))
def test_is_linear_in_its_input(seed, factor):
    torch.manual_seed(seed)
    a, b = (drive(12, 2, 3, torch.float64) for _ in range(2))
    left = li(a * factor + b).membrane
    torch.testing.assert_close(left, li(a).membrane * factor + li(b).membrane, rtol=1e-10, atol=1e-10)
