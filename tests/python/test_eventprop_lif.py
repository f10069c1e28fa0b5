import itertools

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradspike.functional import EventPropLIFOutput, eventprop_graded_spikes, eventprop_lif
from neurons import NUMBERS, drive, heterogeneous, relative_error, to_numpy
from reference import eager_eventprop as eager
from reference import eventprop_lif as reference

ALL = "spikes+membrane+current"
NAMES = ("leak", "reset", "threshold", "tau_mem", "tau_syn")


def parameters_of(per_neuron=(), neurons=1, dtype=torch.float32):
    everything = heterogeneous(per_neuron, neurons, dtype)
    return {name: everything[name] for name in NAMES}


def run(x, parameters, **options):
    return eventprop_lif(x, torch.zeros_like(x), **parameters, **options)


def gradients(x, parameters, grad_spikes, **options):
    input, adjoint = x.clone().requires_grad_(), torch.zeros_like(x).requires_grad_()
    eventprop_lif(input, adjoint, **parameters, **options).spikes.backward(grad_spikes)
    return input.grad, adjoint.grad


def assert_same_bits(result, expected):
    for name, actual, wanted in zip(EventPropLIFOutput._fields, result, expected):
        assert actual.dtype == wanted.dtype, name
        assert torch.equal(actual, wanted), name


# ---- forward -----------------------------------------------------------------------------------------------------


def test_the_example_of_hxtorch():
    """Three inputs with weight 5 that spike at t = 3: other spikes than those of LIF, 4, 6, 9, 12, 16."""
    spikes = torch.zeros(20, 1, 3)
    spikes[3] = 1.0
    result = eventprop_lif(*eventprop_graded_spikes(spikes, torch.full((1, 3), 5.0)))
    assert result.spikes.flatten().nonzero().flatten().tolist() == [4, 5, 6, 7, 9, 11, 13, 16]


@pytest.mark.parametrize("per_neuron", [(), NAMES])
def test_values_in_float64(per_neuron):
    x = drive(40, 2, 5, torch.float64)
    parameters = parameters_of(per_neuron, 5, torch.float64)
    result = run(x, parameters, outputs=ALL)
    assert 3 < result.spikes.sum() < 0.7 * x.numel()
    for name, actual, wanted in zip(
        EventPropLIFOutput._fields, result, reference.eventprop_lif(x.numpy(), to_numpy(parameters))
    ):
        torch.testing.assert_close(actual, torch.from_numpy(wanted), rtol=1e-12, atol=1e-12, msg=name)


@pytest.mark.parametrize("per_neuron", [(), NAMES])
def test_bits_of_the_eager_loop_over_a_million_steps(per_neuron):
    x = drive(250, 33, 129) * 0.5
    parameters = parameters_of(per_neuron, 129)
    result = run(x, parameters, outputs=ALL)
    assert 0.01 < result.spikes.mean() < 0.6
    assert_same_bits(result, eager.eventprop_lif(x, parameters))


@pytest.mark.parametrize("names", list(itertools.chain.from_iterable(itertools.combinations(NAMES, n) for n in (1, 2))))
def test_coefficient_rule_for_numbers_and_tensors_mixed(names):
    x = drive(60, 3, 64)
    parameters = parameters_of(names, 64)
    assert_same_bits(run(x, parameters, outputs=ALL), eager.eventprop_lif(x, parameters))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (2, 2, 3), (4, 0, 3), (4, 2, 0), (2, 1, 1025), (3, 7, 31)])
def test_sizes(shape):
    x = drive(*shape)
    assert_same_bits(run(x, parameters_of(), outputs=ALL), eager.eventprop_lif(x, parameters_of()))


def test_no_steps():
    assert all(trace.shape == (0, 2, 3) for trace in run(torch.empty(0, 2, 3), parameters_of(), outputs=ALL))


def test_row_0_is_the_initial_state_and_the_last_input_is_ignored():
    x = drive(20, 2, 3)
    result = run(x, parameters_of(), outputs=ALL)
    assert not result.spikes[0].any() and not result.current[0].any()
    assert (result.membrane[0] == torch.tensor(NUMBERS["leak"])).all()
    changed = x.clone()
    changed[-1] = 1e6
    assert_same_bits(run(changed, parameters_of(), outputs=ALL), result)


def test_values_of_the_adjoint_channel_are_not_read():
    x = drive(20, 2, 3)
    garbage = torch.full_like(x, float("nan"))
    assert_same_bits(eventprop_lif(x, garbage, **parameters_of(), outputs=ALL), run(x, parameters_of(), outputs=ALL))


def test_threshold_is_strict():
    x = torch.tensor([4.0, 0.0, 0.0]).reshape(3, 1, 1)
    options = {"tau_mem": 4e-6, "tau_syn": 1e-6, "reset": 0.0, "leak": 0.0}  # the membrane is exactly 1 in row 1
    assert run(x, options | {"threshold": 1.0}).spikes.sum() == 0
    assert run(x, options | {"threshold": 0.9999999}).spikes.sum() == 1


def test_non_contiguous():
    x = drive(30, 6, 8)
    expected = run(x, parameters_of(), outputs=ALL)
    for view in (x.transpose(0, 2).contiguous().transpose(0, 2), x.repeat_interleave(2, dim=2)[:, :, ::2]):
        assert not view.is_contiguous()
        assert_same_bits(run(view, parameters_of(), outputs=ALL), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_input_is_widened(dtype):
    x = drive(30, 2, 5).to(dtype)
    assert_same_bits(run(x, parameters_of(), outputs=ALL), run(x.float(), parameters_of(), outputs=ALL))
    leaves = x.clone().requires_grad_(), torch.zeros_like(x).requires_grad_()
    eventprop_lif(*leaves).spikes.sum().backward()
    assert all(leaf.grad.dtype == dtype for leaf in leaves)


@pytest.mark.parametrize("outputs", ["spikes", "membrane", "current", "membrane+spikes", ALL, ""])
def test_only_the_outputs_asked_for(outputs):
    x = drive(20, 2, 3).requires_grad_()
    result, full = run(x, parameters_of(), outputs=outputs), run(x, parameters_of(), outputs=ALL)
    for name in EventPropLIFOutput._fields:
        asked = name in outputs.split("+")
        assert torch.equal(getattr(result, name), getattr(full, name)) if asked else getattr(result, name).shape == (0,)
        assert getattr(result, name).requires_grad == (asked and name == "spikes")


# ---- measured data -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 12, 30])
@pytest.mark.parametrize("kind", ["spikes", "membrane", "both"])
@pytest.mark.parametrize("largest", [1, 3])
def test_measured_data(kind, steps, largest):
    """Returned as measured; the backward jumps at the measured spikes, with the current of the model."""
    x = drive(30, 2, 4, torch.float64)
    data = {
        "measured_spikes": ((torch.rand(steps, 2, 4) < 0.2) * torch.randint(1, largest + 1, (steps, 2, 4))).double(),
        "measured_membrane": torch.randn(steps, 2, 4, dtype=torch.float64),
    }
    data = {name: value for name, value in data.items() if kind in ("both", name.split("_")[1])}
    result = run(x, parameters_of(), outputs=ALL, **data)
    wanted = reference.eventprop_lif(x.numpy(), parameters_of(), **{n: v.numpy() for n, v in data.items()})
    for name, actual, value in zip(EventPropLIFOutput._fields, result, wanted):
        torch.testing.assert_close(actual, torch.from_numpy(value), rtol=1e-12, atol=1e-12, msg=name)
    for name, value in data.items():
        assert torch.equal(getattr(result, name.split("_")[1])[:steps], value)
    assert torch.equal(result.current, run(x, parameters_of(), outputs=ALL).current)
    grad = torch.randn_like(x)
    expected = reference.gradients(wanted[0], wanted[2], grad.numpy(), parameters_of())
    for actual, value in zip(gradients(x, parameters_of(), grad, **data), expected):
        assert relative_error(actual, torch.from_numpy(value)) < 1e-11


def test_the_models_own_spikes_as_measured_spikes_change_nothing():
    x = drive(60, 3, 7)
    model = run(x, parameters_of(), outputs=ALL)
    assert_same_bits(run(x, parameters_of(), outputs=ALL, measured_spikes=model.spikes), model)
    grad = torch.randn_like(x)
    expected = gradients(x, parameters_of(), grad)
    for actual, wanted in zip(gradients(x, parameters_of(), grad, measured_spikes=model.spikes), expected):
        assert torch.equal(actual, wanted)


# ---- gradients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_neuron", [(), NAMES])
@pytest.mark.parametrize("shape", [(40, 3, 6), (2, 1, 1), (1, 2, 3), (17, 1, 70), (0, 2, 3), (5, 0, 3)])
def test_gradients_in_float64(shape, per_neuron):
    x = drive(*shape, torch.float64)
    parameters, grad = parameters_of(per_neuron, shape[2], torch.float64), torch.randn(shape, dtype=torch.float64)
    spikes, _, current = reference.eventprop_lif(x.numpy(), to_numpy(parameters))
    *expected, dropped = reference.gradients(spikes, current, grad.numpy(), to_numpy(parameters))
    assert dropped == 0
    for actual, wanted in zip(gradients(x, parameters, grad), expected):
        assert actual.shape == x.shape
        if x.numel():
            assert relative_error(actual, torch.from_numpy(wanted)) < 1e-11


@pytest.mark.parametrize("per_neuron", [(), NAMES])
@pytest.mark.parametrize("shape", [(60, 5, 33), (33, 2, 64)])
def test_gradients_have_the_bits_of_the_eager_loop(shape, per_neuron):
    x = drive(*shape)
    parameters, grad = parameters_of(per_neuron, shape[2]), torch.randn(shape)
    spikes, _, current = eager.eventprop_lif(x, parameters)
    for actual, wanted in zip(gradients(x, parameters, grad), eager.gradients(spikes, current, grad, parameters)):
        assert torch.equal(actual, wanted)


def test_quotients_that_are_not_finite_count_as_zero():
    """leak = threshold and no current before the spike: a = 0 in every first spike, so b/a and g/a are dropped."""
    parameters = {"leak": 1.0, "reset": 0.5, "threshold": 1.0, "tau_mem": 1e-5, "tau_syn": 1e-6}
    x = ((torch.rand(60, 2, 8) < 0.3) * 0.5).double()
    spikes, _, current = reference.eventprop_lif(x.numpy(), parameters)
    before = numpy.concatenate([current[:1], current[:-1]])
    events = int(((spikes == 1) & (before == 0.0)).sum())
    grad = torch.randn(x.shape, dtype=torch.float64)
    to_input, to_adjoint, dropped = reference.gradients(spikes, current, grad.numpy(), parameters)
    assert events > 5 and dropped == 2 * events
    actual = gradients(x, parameters, grad)
    assert all(gradient.isfinite().all() for gradient in actual)
    assert relative_error(actual[0], torch.from_numpy(to_input)) < 1e-11
    assert relative_error(actual[1], torch.from_numpy(to_adjoint)) < 1e-11


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_not_finite_values_stay_with_their_neuron(value):
    x, grad = drive(20, 2, 3), torch.randn(20, 2, 3)
    clean = gradients(x, parameters_of(), grad)
    keep = torch.ones(2, 3, dtype=torch.bool)
    keep[1, 2] = False
    x[5, 1, 2] = value
    for actual, wanted in zip(gradients(x, parameters_of(), grad), clean):
        assert torch.equal(actual[:, keep], wanted[:, keep])


def test_parameters_get_no_gradient():
    leak = torch.zeros(3, requires_grad=True)
    x = drive(20, 2, 3)
    assert not eventprop_lif(x, torch.zeros_like(x), leak).spikes.requires_grad
    eventprop_lif(x.requires_grad_(), torch.zeros_like(x), leak).spikes.sum().backward()
    assert leak.grad is None and x.grad.any()


def test_only_one_gradient_is_computed_where_one_is_asked_for():
    x, grad = drive(20, 2, 3), torch.randn(20, 2, 3)
    both = gradients(x, parameters_of(), grad)
    adjoint = torch.zeros_like(x).requires_grad_()
    eventprop_lif(x, adjoint, **parameters_of()).spikes.backward(grad)
    assert torch.equal(adjoint.grad, both[1])


@pytest.mark.parametrize("threads", [2, 7])
def test_thread_counts(threads):
    x, grad, before = drive(30, 40, 150), torch.randn(30, 40, 150), torch.get_num_threads()
    parameters = parameters_of(NAMES, 150)

    def everything():
        return (*run(x, parameters, outputs=ALL), *gradients(x, parameters, grad))

    try:
        torch.set_num_threads(1)
        expected = everything()
        torch.set_num_threads(threads)
        assert all(torch.equal(actual, wanted) for actual, wanted in zip(everything(), expected))
    finally:
        torch.set_num_threads(before)


def test_one_trace_is_saved():
    packed = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: packed.append(tensor.numel()) or tensor, lambda t: t):
        run(drive(50, 4, 6).requires_grad_(), parameters_of())
    assert sorted(packed) == [8, 50 * 4 * 6]


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 20),
    st.integers(1, 3),
    st.integers(1, 9),
    st.lists(st.sampled_from(NAMES), unique=True),
    st.integers(0, 2**31),
)
def test_any_run_gives_the_bits_of_the_eager_loop(time, batch, neurons, per_neuron, seed):
    torch.manual_seed(seed)
    x, parameters = drive(time, batch, neurons), parameters_of(per_neuron, neurons)
    result, grad = run(x, parameters, outputs=ALL), torch.randn(time, batch, neurons)
    assert_same_bits(result, eager.eventprop_lif(x, parameters))
    expected = eager.gradients(result.spikes, result.current, grad, parameters)
    assert all(torch.equal(a, e) for a, e in zip(gradients(x, parameters, grad), expected))


def test_backward_takes_traces_of_any_stride():
    saved, table, grad = torch.randn(3, 2, 5).transpose(0, 2), torch.rand(8, 1).expand(8, 3), torch.randn(5, 2, 3)
    backward = torch.ops.gradspike._eventprop_lif_backward
    expected = backward(grad, saved.contiguous(), table.contiguous(), [True, True])
    assert all(torch.equal(a, e) for a, e in zip(backward(grad, saved, table, [True, True]), expected))
