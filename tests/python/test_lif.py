import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradspike.functional import LIFOutput, lif
from neurons import NUMBERS, TRAINABLE, drive, heterogeneous, relative_error, to_double, to_numpy
from reference import eager
from reference import lif as reference

ALL = "spikes+membrane+current"


def assert_same_bits(result, expected):
    for name, actual, wanted in zip(LIFOutput._fields, result, expected):
        assert actual.dtype == wanted.dtype, name
        assert torch.equal(actual, wanted), name


# ---- forward -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refractory_time", [0.0, 1e-6, 3e-6, 2.3e-6])
@pytest.mark.parametrize("per_neuron", [(), TRAINABLE])
def test_values_in_float64(per_neuron, refractory_time):
    x = drive(40, 2, 5, torch.float64)
    parameters = heterogeneous(per_neuron, 5, torch.float64) | {"refractory_time": refractory_time}
    result = lif(x, **parameters, outputs=ALL)
    expected = reference.lif(x.numpy(), to_numpy(parameters))
    assert 3 < result.spikes.sum() < 0.5 * x.numel()
    for name, actual, wanted in zip(LIFOutput._fields, result, expected):
        torch.testing.assert_close(actual, torch.from_numpy(wanted), rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("refractory_steps", [0, 1, 3])
def test_bits_of_the_eager_loop_over_a_million_steps(refractory_steps):
    x = drive(250, 33, 129)  # 1.06e6 element steps
    parameters = heterogeneous(TRAINABLE, 129) | {"refractory_time": refractory_steps * 1e-6}
    result = lif(x, **parameters, outputs=ALL)
    assert 0.01 < result.spikes.mean() < 0.5
    assert_same_bits(result, eager.lif(x, parameters))


def test_bits_of_the_eager_loop_with_numbers_over_a_million_steps():
    x = drive(500, 17, 127)  # 1.08e6 element steps
    parameters = NUMBERS | {"refractory_time": 2e-6}
    result = lif(x, **parameters, outputs=ALL)
    assert 0.01 < result.spikes.mean() < 0.5
    assert_same_bits(result, eager.lif(x, parameters))


@pytest.mark.parametrize(
    "names", list(itertools.chain.from_iterable(itertools.combinations(TRAINABLE, n) for n in (1, 2)))
)
def test_coefficient_rule_for_numbers_and_tensors_mixed(names):
    x = drive(60, 3, 64)
    parameters = heterogeneous(names, 64)
    assert_same_bits(lif(x, **parameters, outputs=ALL), eager.lif(x, parameters))


@pytest.mark.parametrize("name", TRAINABLE)
def test_one_tensor_for_all_neurons(name):
    x = drive(60, 3, 17)
    parameters = NUMBERS | {name: torch.tensor(NUMBERS[name])}
    assert_same_bits(lif(x, **parameters, outputs=ALL), eager.lif(x, parameters))


@pytest.mark.parametrize("tau", [6e-6, 8.7e-6, 10.1e-6, 12.3e-6, 17e-6, 23.9e-6, 35e-6, 49e-6])
def test_coefficients_of_numbers_are_rounded_once(tau):
    x = drive(40, 3, 16)
    parameters = NUMBERS | {"tau_mem": tau, "tau_syn": tau * 0.9, "membrane_capacitance": tau * 1.1}
    assert_same_bits(lif(x, **parameters, outputs=ALL), eager.lif(x, parameters))


def test_number_and_tensor_coefficients_differ():
    # The rule matters: with these values 1 - dt/tau in double and in float32 are different numbers.
    differing = 0
    for tau in torch.linspace(5e-6, 50e-6, 200).tolist():
        in_double = torch.tensor(1.0 - 1e-6 / tau)
        in_single = 1.0 - 1e-6 / torch.tensor(tau)
        x = torch.zeros(2, 1, 1)
        x[0] = 1.0
        current = lif(x, tau_syn=tau, outputs="current").current[1, 0, 0]
        assert current == in_double
        assert lif(x, tau_syn=torch.tensor(tau), outputs="current").current[1, 0, 0] == in_single
        differing += int(in_double != in_single)
    assert differing > 0


def test_a_float64_number_tensor_on_the_cpu_is_a_number():
    x = drive(50, 2, 9)
    tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in NUMBERS.items()}
    assert_same_bits(lif(x, **tensors, outputs=ALL), lif(x, **NUMBERS, outputs=ALL))


def test_refractory_time_per_neuron():
    x = drive(100, 4, 6)
    parameters = NUMBERS | {"refractory_time": torch.tensor([0.0, 1e-6, 2e-6, 3e-6, 0.5e-6, 10e-6])}
    result = lif(x, **parameters, outputs=ALL)
    assert_same_bits(result, eager.lif(x, parameters))


@pytest.mark.parametrize("steps", range(31))
@pytest.mark.parametrize("as_tensor", [False, True])
def test_a_spike_blocks_whole_steps(steps, as_tensor):
    x = torch.full((80, 1, 1), 50.0)
    time = torch.tensor(steps * 1e-6) if as_tensor else steps * 1e-6
    fired = lif(x, refractory_time=time).spikes.flatten().nonzero().flatten()
    assert set(fired.diff().tolist()) == {steps + 1}


def test_fractions_of_a_refractory_step_round_up():
    x = torch.full((40, 1, 1), 50.0)
    fired = lif(x, refractory_time=2.01e-6).spikes.flatten().nonzero().flatten()
    assert set(fired.diff().tolist()) == {4}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ties_with_the_threshold(dtype):
    """All coefficients 1 or 0 and inputs on a lattice: the membrane, v' = i, meets the threshold again and again."""
    p = NUMBERS | {"leak": 0.0, "reset": 0.0, "threshold": 1.0, "tau_mem": 1e-6, "tau_syn": 1e-6}
    p |= {"membrane_capacitance": 1e-6, "refractory_time": 1e-6}
    x = (torch.randint(-4, 6, (60, 3, 8)) / 4.0).to(dtype)
    spikes, membrane, current, _ = reference.lif(x.double().numpy(), p)
    assert ((current[:-1] == 1.0) & (membrane[1:] == 1.0)).sum() > 20  # ties without a spike
    result = lif(x, **p, outputs=ALL)
    assert torch.equal(result.spikes.double(), torch.from_numpy(spikes))


def test_threshold_is_strict():
    # k = 1 and g = 0.25 make the membrane exactly 1 after one step.
    p = {"tau_mem": 4e-6, "membrane_capacitance": 1e-6, "tau_syn": 1e-6}
    x = torch.tensor([1.0, 0.0]).reshape(2, 1, 1)
    at, below = lif(x, threshold=1.0, **p), lif(x, threshold=0.9999999, **p)
    assert at.spikes.sum() == 0 and below.spikes.sum() == 1


def test_input_reaches_the_membrane_one_step_later():
    x = torch.zeros(4, 1, 1)
    x[1] = 5.0
    out = lif(x, outputs=ALL)
    assert out.current.flatten()[:2].tolist() == [0.0, 5.0]
    assert out.membrane.flatten().tolist()[:3] == [0.0, 0.0, 0.5]


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (0, 2, 3), (4, 0, 3), (4, 2, 0), (2, 1, 1025), (3, 7, 31)])
@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
def test_sizes(shape, refractory_time):
    x = drive(*shape)
    parameters = NUMBERS | {"refractory_time": refractory_time}
    assert_same_bits(lif(x, **parameters, outputs=ALL), eager.lif(x, parameters))


def test_no_steps_give_the_initial_state():
    state = torch.randn(3, 2, 4)
    assert torch.equal(lif(torch.empty(0, 2, 4), initial_state=state).state, state)
    fresh = lif(torch.empty(0, 2, 4), leak=0.5).state
    assert torch.equal(fresh, torch.tensor([0.0, 0.5, 0.0]).reshape(3, 1, 1).expand(3, 2, 4))


def test_non_contiguous():
    x = drive(30, 6, 8)
    expected = lif(x, **NUMBERS, outputs=ALL)
    for view in (x.transpose(0, 2).contiguous().transpose(0, 2), x.repeat_interleave(2, dim=2)[:, :, ::2]):
        assert not view.is_contiguous()
        assert_same_bits(lif(view, **NUMBERS, outputs=ALL), expected)
    per_neuron = torch.rand(16)[::2]
    assert_same_bits(lif(x, leak=per_neuron, outputs=ALL), lif(x, leak=per_neuron.clone(), outputs=ALL))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_input_is_widened(dtype):
    x = drive(30, 2, 5).to(dtype)
    result = lif(x, **NUMBERS, outputs=ALL)
    assert result.membrane.dtype == torch.float32
    assert_same_bits(result, lif(x.float(), **NUMBERS, outputs=ALL))


@pytest.mark.parametrize("outputs", ["spikes", "membrane", "current", "membrane+spikes", "spikes+current", ALL, ""])
def test_only_the_outputs_asked_for(outputs):
    x = drive(20, 2, 3)
    result, full = lif(x, **NUMBERS, outputs=outputs), lif(x, **NUMBERS, outputs=ALL)
    for name in ("spikes", "membrane", "current"):
        if name in outputs.split("+"):
            assert torch.equal(getattr(result, name), getattr(full, name))
        else:
            assert getattr(result, name).shape == (0,)
    assert torch.equal(result.state, full.state)


@pytest.mark.parametrize("refractory_time", [0.0, 3e-6])
@pytest.mark.parametrize("chunk", [1, 7])
def test_streaming_gives_the_bits_of_the_whole_run(chunk, refractory_time):
    x = drive(50, 3, 11)
    parameters = heterogeneous(("tau_mem", "threshold"), 11) | {"refractory_time": refractory_time}
    whole = lif(x, **parameters, outputs=ALL)
    state, parts = None, []
    for start in range(0, 50, chunk):
        part = lif(x[start : start + chunk], **parameters, outputs=ALL, initial_state=state)
        state = part.state
        parts.append(part)
    joined = [torch.cat([getattr(part, name) for part in parts]) for name in ("spikes", "membrane", "current")]
    assert_same_bits((*joined, state), whole)


@pytest.mark.parametrize("dt", [0.5e-6, 2e-6, 1e-3])
def test_other_time_steps(dt):
    factor = dt / 1e-6
    times = ("tau_mem", "tau_syn", "membrane_capacitance")
    parameters = {n: v * factor if n in times else v for n, v in NUMBERS.items()}
    x = drive(60, 2, 5)
    assert_same_bits(lif(x, **parameters, dt=dt, outputs=ALL), eager.lif(x, parameters, dt))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38])
def test_not_finite_input_stays_with_its_neuron(value):
    x = drive(20, 2, 3)
    clean = lif(x, **NUMBERS, outputs=ALL)
    x[5, 1, 2] = value
    result = lif(x, **NUMBERS, outputs=ALL)
    keep = torch.ones(2, 3, dtype=torch.bool)
    keep[1, 2] = False
    assert torch.equal(result.membrane[:, keep], clean.membrane[:, keep])
    expected = eager.lif(x, NUMBERS)
    assert torch.equal(result.spikes.nan_to_num(), expected[0].nan_to_num())
    assert torch.equal(result.membrane.nan_to_num(0.5), expected[1].nan_to_num(0.5))


def test_population_name_changes_nothing():
    x = drive(20, 2, 3)
    assert_same_bits(lif(x, population="any/name", outputs=ALL), lif(x, outputs=ALL))


# ---- measured data -----------------------------------------------------------------------------------------------


def measured(kind, shape, dtype=torch.float32, largest=1):
    spikes = ((torch.rand(shape) < 0.2) * torch.randint(1, largest + 1, shape)).to(dtype)
    membrane = torch.randn(shape).to(dtype)
    return {
        "spikes": {"measured_spikes": spikes},
        "membrane": {"measured_membrane": membrane},
        "both": {"measured_spikes": spikes, "measured_membrane": membrane},
    }[kind]


@pytest.mark.parametrize("largest", [1, 3])
@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
@pytest.mark.parametrize("kind", ["spikes", "membrane", "both"])
def test_measured_data_replaces_values(kind, refractory_time, largest):
    x = drive(30, 2, 4, torch.float64)
    data = measured(kind, x.shape, torch.float64, largest)
    parameters = NUMBERS | {"refractory_time": refractory_time}
    result = lif(x, **parameters, outputs=ALL, **data)
    expected = reference.lif(x.numpy(), parameters, **{name: value.numpy() for name, value in data.items()})
    for name, actual, wanted in zip(LIFOutput._fields, result, expected):
        torch.testing.assert_close(actual, torch.from_numpy(wanted), rtol=1e-12, atol=1e-12, msg=name)
    if "measured_spikes" in data:
        assert torch.equal(result.spikes, data["measured_spikes"])
    if "measured_membrane" in data:
        assert torch.equal(result.membrane, data["measured_membrane"])


@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
@pytest.mark.parametrize("kind", ["spikes", "membrane", "both"])
def test_measured_data_gives_the_bits_of_the_eager_loop(kind, refractory_time):
    x = drive(80, 5, 33)
    data = measured(kind, x.shape, largest=2)
    parameters = heterogeneous(TRAINABLE, 33) | {"refractory_time": refractory_time}
    assert_same_bits(lif(x, **parameters, outputs=ALL, **data), eager.lif(x, parameters, **data))


def test_the_models_own_spikes_as_measured_spikes_change_nothing():
    x = drive(60, 3, 7)
    model = lif(x, **NUMBERS, outputs=ALL)
    again = lif(x, **NUMBERS, outputs=ALL, measured_spikes=model.spikes)
    assert_same_bits(again, model)


# ---- gradients ---------------------------------------------------------------------------------------------------


def run_backward(run, x, parameters, state, weights, **options):
    """Gradients of a weighted sum of all outputs to input, state and all tensors among the parameters."""
    leaves = {"input": x, "state": state} | {n: v for n, v in parameters.items() if isinstance(v, torch.Tensor)}
    leaves = {n: v.detach().clone().requires_grad_(n != "refractory_time") for n, v in leaves.items()}
    moved = {n: leaves.get(n, v) for n, v in parameters.items()}
    outputs = run(leaves["input"], moved, leaves["state"], **options)
    loss = sum((output * weight).sum() for output, weight in zip(outputs, weights))
    loss.backward()
    return {n: leaf.grad for n, leaf in leaves.items() if leaf.requires_grad}


def run_op(x, parameters, state, **options):
    return lif(x, **parameters, initial_state=state, outputs=ALL, **options)


def run_eager(x, parameters, state, **options):
    return eager.lif(x, parameters, state=state, **options)


def gradient_weights(x):
    weights = [torch.randn(x.shape, dtype=x.dtype) for _ in range(3)] + [torch.randn(3, *x.shape[1:], dtype=x.dtype)]
    weights[3][2] = 0.0  # the refractory counter has no gradient
    return weights


def initial_state(batch, neurons, dtype, blocked=0):
    state = torch.randn(3, batch, neurons, dtype=dtype) * 0.3
    state[2] = torch.randint(0, blocked + 1, (batch, neurons)).to(dtype)
    return state


@pytest.mark.parametrize("kind", [None, "spikes", "membrane", "both"])
@pytest.mark.parametrize("refractory_steps", [0, 2])
@pytest.mark.parametrize("per_neuron", [(), TRAINABLE])
def test_gradients_in_float64_are_those_of_the_eager_loop(per_neuron, refractory_steps, kind):
    x = drive(40, 3, 6, torch.float64)
    parameters = heterogeneous(per_neuron, 6, torch.float64) | {"refractory_time": refractory_steps * 1e-6}
    options = {} if kind is None else measured(kind, x.shape, torch.float64, largest=2)
    state, weights = initial_state(3, 6, torch.float64, refractory_steps), gradient_weights(x)
    actual = run_backward(run_op, x, parameters, state, weights, **options)
    expected = run_backward(run_eager, x, parameters, state, weights, **options)
    assert set(actual) == set(expected) == {"input", "state", *per_neuron}
    for name, gradient in expected.items():
        if name == "state":
            actual[name], gradient = actual[name][:2], gradient[:2]
        assert relative_error(actual[name], gradient) < 1e-11, name


@pytest.mark.parametrize("refractory_steps", [0, 3])
def test_gradients_in_float32_lie_near_the_float64_loop(refractory_steps):
    x = drive(120, 8, 20)
    parameters = heterogeneous(TRAINABLE, 20) | {"refractory_time": refractory_steps * 1e-6}
    state, weights = initial_state(8, 20, torch.float32), gradient_weights(x)
    # The float64 loop gets the spikes of the float32 run: a spike that differs would be another trajectory.
    spikes = lif(x, **parameters, initial_state=state).spikes
    actual = run_backward(run_op, x, parameters, state, weights)
    expected = run_backward(
        run_eager, x.double(), to_double(parameters), state.double(), [w.double() for w in weights],
        measured_spikes=spikes.double(),
    )  # fmt: skip
    for name, gradient in expected.items():
        if name == "state":
            actual[name], gradient = actual[name][:2], gradient[:2]
        assert relative_error(actual[name], gradient) < 2e-4, name


@pytest.mark.parametrize("name", TRAINABLE)
@pytest.mark.parametrize("shape", ["number", "0-dim", "per neuron"])
def test_gradient_to_one_parameter_of_each_shape(name, shape):
    x = drive(30, 3, 4, torch.float64)
    value = torch.tensor(NUMBERS[name], dtype=torch.float64)
    if shape == "per neuron":
        value = value * (1 + 0.1 * torch.rand(4, dtype=torch.float64))
    parameter = value.clone().requires_grad_()
    # A 0-dim float64 tensor is a number, and a number that asks for a gradient gets one; one with a shape is not.
    given = parameter.reshape(1).expand(4) if shape == "0-dim" else parameter
    weights = gradient_weights(x)
    out = lif(x, **(NUMBERS | {name: given}), outputs=ALL)
    (actual,) = torch.autograd.grad(sum((o * w).sum() for o, w in zip(out, weights)), parameter)
    twin = value.clone().requires_grad_()
    out = eager.lif(x, NUMBERS | {name: twin})
    (expected,) = torch.autograd.grad(sum((o * w).sum() for o, w in zip(out, weights)), twin)
    assert actual.shape == parameter.shape
    assert relative_error(actual, expected) < 1e-9


def test_leak_is_the_initial_membrane_too():
    leak = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    x = torch.zeros(1, 2, 3, dtype=torch.float64)
    lif(x, leak, outputs="membrane").membrane.sum().backward()
    # v0 = leak and v1 = v0 + k g (leak - v0): dv1/dleak = 1
    torch.testing.assert_close(leak.grad, torch.full((3,), 2.0, dtype=torch.float64))


@pytest.mark.parametrize("alpha", [0.0, 1.0, 50.0, 1e4])
def test_surrogate_derivative_follows_its_formula(alpha):
    # One step from a given membrane: dz/dv = 1 / (alpha |v' - threshold| + 1)^2, dv'/dv = 1 - dt/tau_mem.
    membrane = torch.linspace(-1.0, 3.0, 41, dtype=torch.float64)
    state = torch.zeros(3, 1, 41, dtype=torch.float64)
    state[1, 0] = membrane
    state.requires_grad_()
    out = lif(torch.zeros(1, 1, 41, dtype=torch.float64), initial_state=state, alpha=alpha)
    (gradient,) = torch.autograd.grad(out.spikes.sum(), state)
    after = membrane * 0.9
    expected = 0.9 / (alpha * (after - 1.0).abs() + 1.0) ** 2
    torch.testing.assert_close(gradient[1, 0], expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
def test_gradcheck_of_the_smooth_part(refractory_time):
    # Measured membranes take the threshold and the reset out of the path: current and input gradients are smooth.
    x = drive(6, 2, 3, torch.float64).requires_grad_()
    tau_syn = torch.tensor([5e-6, 7e-6, 9e-6], dtype=torch.float64, requires_grad=True)

    def current(x, tau):
        # In units of microseconds, so that the step of the numerical derivative suits both arguments.
        return lif(x, tau_syn=tau * 1e-6, refractory_time=refractory_time, outputs="current").current

    assert torch.autograd.gradcheck(current, (x, (tau_syn.detach() * 1e6).requires_grad_()))


def test_gradcheck_below_threshold():
    x = (torch.rand(7, 2, 3, dtype=torch.float64) * 0.1).requires_grad_()
    leak = torch.randn(3, dtype=torch.float64, requires_grad=True)
    tau_mem = (torch.rand(3, dtype=torch.float64) * 5 + 5).requires_grad_()
    tau_syn = (torch.rand(3, dtype=torch.float64) * 5 + 5).requires_grad_()
    capacitance = (torch.rand(3, dtype=torch.float64) * 5 + 5).requires_grad_()
    state = (torch.randn(2, 2, 3, dtype=torch.float64) * 0.1).requires_grad_()

    def run(x, leak, tau_mem, tau_syn, capacitance, state):
        full = torch.cat([state, torch.zeros(1, 2, 3, dtype=torch.float64)])
        out = lif(
            x, leak, 0.0, 1e9, tau_mem * 1e-6, tau_syn * 1e-6, capacitance * 1e-6,
            outputs="membrane+current", initial_state=full,
        )  # fmt: skip
        return out.membrane, out.current, out.state[:2]

    assert torch.autograd.gradcheck(run, (x, leak, tau_mem, tau_syn, capacitance, state))


def test_reset_carries_no_gradient_through_the_spike():
    x = torch.zeros(3, 1, 1, dtype=torch.float64)
    x[0] = 50.0
    x.requires_grad_()
    out = lif(x, outputs="spikes+membrane")
    assert out.spikes.flatten().tolist() == [0.0, 1.0, 1.0]
    (gradient,) = torch.autograd.grad(out.membrane.sum(), x)
    assert gradient.abs().sum() == 0.0  # every membrane that the input reaches has been reset


@pytest.mark.parametrize("outputs", ["spikes", "membrane", "current"])
def test_gradient_through_one_output_alone(outputs):
    x = drive(25, 2, 3, torch.float64)
    leaf = x.clone().requires_grad_()
    getattr(lif(leaf, **NUMBERS, outputs=outputs), outputs).square().sum().backward()
    twin = x.clone().requires_grad_()
    index = LIFOutput._fields.index(outputs)
    eager.lif(twin, NUMBERS)[index].square().sum().backward()
    assert relative_error(leaf.grad, twin.grad) < 1e-11


def test_gradient_flows_through_streamed_states():
    x = drive(24, 2, 3, torch.float64)
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    whole = lif(leaves[0], **NUMBERS).spikes
    state, parts = None, []
    for chunk in leaves[1].split(5):
        out = lif(chunk, **NUMBERS, initial_state=state)
        state = out.state
        parts.append(out.spikes)
    weights = torch.randn_like(whole)
    (whole * weights).sum().backward()
    (torch.cat(parts) * weights).sum().backward()
    assert relative_error(leaves[1].grad, leaves[0].grad) < 1e-12


def test_no_gradient_where_none_is_asked_for():
    assert not any(output.requires_grad for output in lif(drive(5, 1, 2)))
    with torch.no_grad():
        assert not lif(drive(5, 1, 2).requires_grad_()).spikes.requires_grad


def test_refractory_time_has_no_gradient():
    time = torch.full((2,), 1e-6, requires_grad=True)
    x = drive(5, 1, 2).requires_grad_()
    lif(x, refractory_time=time).spikes.sum().backward()
    assert time.grad is None or time.grad.abs().sum() == 0.0


def test_a_saved_tensor_changed_in_place_is_an_error():
    x = drive(5, 1, 2).requires_grad_()
    threshold = torch.ones(2, requires_grad=True)
    spikes = lif(x, threshold=threshold).spikes
    with torch.no_grad():
        threshold.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        spikes.sum().backward()


# ---- properties --------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 20),
    st.integers(0, 3),
    st.integers(0, 9),
    st.integers(0, 4),
    st.lists(st.sampled_from(TRAINABLE), unique=True),
    st.integers(0, 2**31),
)
def test_any_run_gives_the_bits_of_the_eager_loop(time, batch, neurons, refractory_steps, per_neuron, seed):
    torch.manual_seed(seed)
    x = drive(time, batch, neurons)
    parameters = heterogeneous(per_neuron, neurons) | {"refractory_time": refractory_steps * 1e-6}
    assert_same_bits(lif(x, **parameters, outputs=ALL), eager.lif(x, parameters))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.permutations(range(5)))
def test_neurons_are_independent(seed, order):
    torch.manual_seed(seed)
    x = drive(20, 2, 5)
    threshold = torch.rand(5)
    whole = lif(x, threshold=threshold, outputs=ALL)
    permuted = lif(x[..., order], threshold=threshold[order], outputs=ALL)
    assert torch.equal(permuted.membrane, whole.membrane[..., order])


@pytest.mark.parametrize(("seconds", "steps"), [(1.0, 1_000_000), (1.5, 1_500_000), (3.0000001e-6, 3), (3.1e-6, 4)])
def test_refractory_time_is_a_whole_number_of_steps_up_to_float32(seconds, steps):
    numbers = [torch.tensor(value, dtype=torch.float64) for value in (0.0, 0.0, 1.0, 1e-5, 1e-5, 1e-5, seconds)]
    outputs = torch.ops.gradspike._lif_forward(
        torch.zeros(1, 1, 1), *numbers, 1e-6, "superspike", 50.0, "", None, None, None, False
    )
    assert outputs[5][6, 0].item() == steps


def test_a_parameter_on_another_device_is_refused():
    with pytest.raises(RuntimeError, match="leak must be on the device of input, cpu, or a number, got meta"):
        lif(torch.zeros(2, 1, 3), leak=torch.tensor(0.0, device="meta"))


def test_numbers_must_be_finite():
    with pytest.raises(RuntimeError, match="lif: threshold must be finite, got nan"):
        lif(torch.zeros(2, 1, 3), threshold=float("nan"))


def test_backward_takes_traces_of_any_stride():
    x = torch.randn(5, 2, 3)
    numbers = [torch.tensor(value, dtype=torch.float64) for value in (0.0, 0.0, 1.0, 1e-5, 1e-5, 1e-5)]
    saved, table, grad = torch.randn(3, 2, 5).transpose(0, 2), torch.rand(7, 1).expand(7, 3), torch.randn(5, 2, 3)

    def backward(saved, table):
        rest = (None, None, None, 1e-6, "superspike", 50.0, [True] + [False] * 7)
        return torch.ops.gradspike._lif_backward(grad, None, None, None, saved, None, table, *numbers, *rest)[0]

    assert torch.equal(backward(saved, table), backward(saved.contiguous(), table.contiguous()))
    assert backward(saved, table).shape == x.shape
