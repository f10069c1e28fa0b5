"""Properties over random shapes, layouts, dtypes and flags: of every operator, and of the neurons and synapses."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cases import CASES, DIFFERENTIABLE, outputs_of
from gradspike import functional as F
from neurons import LI_NAMES, NUMBERS, TRAINABLE, drive, relative_error
from reference import eager, hardware_weights, linear_saturating
from reference import graded_spikes as products
from reference.surrogate import NAMES

SEEDS = st.integers(0, 2**31)


# ---- every operator ----------------------------------------------------------------------------------------------


def contiguous(tensor):
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def transposed(tensor):
    return tensor.detach().transpose(0, -1).contiguous().transpose(0, -1)


def with_gaps(tensor):
    """Every other element of memory is NaN, or the largest integer."""
    fill = float("nan") if tensor.is_floating_point() else torch.iinfo(tensor.dtype).max
    return torch.stack([tensor.detach(), torch.full_like(tensor, fill)], -1)[..., 0]


def offset(tensor):
    """Behind other elements, and not aligned to a vector."""
    fill = float("nan") if tensor.is_floating_point() else torch.iinfo(tensor.dtype).max
    return torch.cat([torch.full((3,), fill, dtype=tensor.dtype), tensor.detach().flatten()])[3:].view(tensor.shape)


LAYOUTS = st.sampled_from([contiguous, transposed, with_gaps, offset])


def results_of(case, tensors, transpose):
    """Outputs, and gradients of a fixed functional: expanded ones of the outputs (None), contiguous or transposed."""
    tensors = [tensor.detach().requires_grad_(k in case.differentiable) for k, tensor in enumerate(tensors)]
    outputs = outputs_of(case.call(*tensors))
    loss = torch.zeros(())
    for output in outputs:
        if output.requires_grad:
            view = output.transpose(0, -1) if transpose else output
            ramp = torch.linspace(-1.0, 1.0, view.numel(), dtype=view.dtype).reshape(view.shape)
            loss = loss + (view * (0.5 if transpose is None else ramp)).sum()
    leaves = [tensor for tensor in tensors if tensor.requires_grad]
    gradients = torch.autograd.grad(loss, leaves) if leaves else ()
    return [tensor.detach() for tensor in (*outputs, *gradients)]


def assert_same(case, actual, expected):
    for a, e in zip(actual, expected, strict=True):
        if case.name == "graded_spikes_float":  # the library's float product has an order for each layout
            torch.testing.assert_close(a, e)
        else:
            assert torch.equal(a, e)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@settings(max_examples=12)
@given(st.integers(1, 9), st.lists(LAYOUTS, min_size=6, max_size=6), st.sampled_from([None, False, True]))
def test_layouts_change_no_bit(case, batch, layouts, transpose):
    tensors = case.arguments(batch)
    expected = results_of(case, [contiguous(tensor) for tensor in tensors], transpose)
    strided = [layout(tensor) for layout, tensor in zip(layouts, tensors)]
    assert all(torch.equal(a, b) for a, b in zip(strided, tensors))
    assert_same(case, results_of(case, strided, transpose), expected)


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_expanded_arguments(case, dim):
    tensors = case.arguments()
    expanded = [t.detach().select(dim, 0).unsqueeze(dim).expand(t.shape) if t.dim() > dim else t for t in tensors]
    expected = results_of(case, [contiguous(tensor) for tensor in expanded], False)
    assert_same(case, results_of(case, expanded, False), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_narrow_arguments_are_widened(case, dtype):
    """All floating-point arguments narrow: the outputs are those of the same numbers in float32."""
    narrow = [t.detach().to(dtype) if t.is_floating_point() else t for t in case.arguments()]
    wide = [t.float() if t.is_floating_point() else t for t in narrow]
    for actual, wanted in zip(outputs_of(case.call(*narrow)), outputs_of(case.call(*wide))):
        assert torch.equal(actual, wanted.to(actual.dtype))


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_gradients_have_shape_and_dtype_of_their_argument(case):
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        tensors = [t.detach().to(dtype) if t.is_floating_point() else t for t in case.arguments()]
        gradients = results_of(case, tensors, False)[-len(case.differentiable) :]
        for position, gradient in zip(case.differentiable, gradients):
            assert gradient.dtype == dtype and gradient.shape == tensors[position].shape
            # Gradients to times in seconds are large: beyond the range of float16.
            assert torch.isfinite(gradient).all() or dtype == torch.float16


# ---- neurons -----------------------------------------------------------------------------------------------------


@st.composite
def neuron_runs(draw, names, num_states):
    """A run of neurons with everything that its operator takes, in float64: (input, parameters, options)."""
    torch.manual_seed(draw(SEEDS))
    time, batch, neurons = draw(st.integers(0, 14)), draw(st.integers(0, 4)), draw(st.integers(0, 9))
    x = drive(time, batch, neurons, torch.float64)
    parameters = {}
    for name in names:
        kind = draw(st.sampled_from(["number", "0-dim", "per neuron"]))
        spread = lambda *shape: NUMBERS[name] * (0.7 + 0.6 * torch.rand(shape, dtype=torch.float64))  # noqa: E731, B023
        # A 0-dim tensor of float64 would be a number, hence the float32 one.
        parameters[name] = {"number": NUMBERS[name], "0-dim": spread().float(), "per neuron": spread(neurons)}[kind]
    options = {}
    if draw(st.booleans()):
        state = torch.randn(num_states, batch, neurons, dtype=torch.float64) * 0.4
        state[2:] = torch.randint(0, 3, state[2:].shape)
        options["initial_state"] = state
    if draw(st.booleans()):
        options["measured_membrane"] = torch.randn(draw(st.integers(0, time)), batch, neurons, dtype=torch.float64)
    if num_states == 3:
        parameters["refractory_time"] = draw(st.sampled_from([0.0, 1e-6, 2.5e-6, 4e-6]))
        if draw(st.booleans()):
            steps = draw(st.integers(0, time))
            options["measured_spikes"] = ((torch.rand(steps, batch, neurons) < 0.3) * 1.0).double()
        options["surrogate"], options["alpha"] = draw(st.sampled_from(NAMES)), draw(st.sampled_from([0.0, 1.0, 20.0]))
    return x, parameters, options


def to_single(value):
    return value.float() if isinstance(value, torch.Tensor) else value


def eager_run(function, x, parameters, options):
    options = {"state" if name == "initial_state" else name: value for name, value in options.items()}
    return function(x, parameters, **options)


def assert_run_is_the_loop(op, loop, run, data):
    """Bits in float32 for any outputs; gradients in float64."""
    x, parameters, options = run
    single = to_single(x), *({n: to_single(v) for n, v in d.items()} for d in (parameters, options))
    expected = eager_run(loop, *single)
    traces = ("spikes", "membrane", "current")[-(len(expected) - 1) :]
    asked = data.draw(st.lists(st.sampled_from(traces), unique=True))
    actual = op(single[0], **single[1], **single[2], outputs="+".join(asked))
    for name, trace, wanted in zip(traces, actual, expected):
        assert torch.equal(trace, wanted if name in asked else torch.empty(0)), name
    assert torch.equal(actual[-1], expected[-1])

    trained = [name for name, value in parameters.items() if isinstance(value, torch.Tensor)]
    results = []
    weights = [torch.randn(wanted.shape, dtype=torch.float64) for wanted in expected]
    weights[-1][2:] = 0.0  # the refractory counter has no gradient
    for is_op in (True, False):
        leaves = [x.clone().requires_grad_(), *(parameters[name].double().requires_grad_() for name in trained)]
        given = parameters | {
            name: leaf.expand(x.shape[2]) if leaf.dim() == 0 else leaf for name, leaf in zip(trained, leaves[1:])
        }
        if is_op:
            outputs = op(leaves[0], **given, **options, outputs="+".join(traces))
        else:
            outputs = eager_run(loop, leaves[0], given, options)
        loss = sum((output * weight).sum() for output, weight in zip(outputs, weights))
        results.append(
            torch.autograd.grad(loss, leaves, allow_unused=True) if loss.requires_grad else [None] * len(leaves)
        )
    for name, leaf, *pair in zip(("input", *trained), leaves, *results):
        actual, wanted = (torch.zeros_like(leaf) if gradient is None else gradient for gradient in pair)
        assert actual.shape == leaf.shape
        assert leaf.numel() == 0 or relative_error(actual, wanted) < 1e-9, name


@settings(max_examples=60)
@given(neuron_runs(TRAINABLE, 3), st.data())
def test_any_lif_is_the_eager_loop(run, data):
    assert_run_is_the_loop(F.lif, eager.lif, run, data)


@settings(max_examples=40)
@given(neuron_runs(LI_NAMES, 2), st.data())
def test_any_li_is_the_eager_loop(run, data):
    assert_run_is_the_loop(F.li, eager.li, run, data)


# ---- synapses ----------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    seed=SEEDS,
    leading=st.lists(st.integers(0, 5), max_size=3),
    features=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.bool]),
    weight_dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    bounds=st.sampled_from([(-63, 63), (0, 63), (-63, 0), (-315, 315), (-128, 127)]),
    rounding=st.sampled_from(["half_even", "half_away"]),
    gradient=st.sampled_from(["clipped", "identity", "returning"]),
    units=st.sampled_from(["model", "lsb"]),
    scale=st.floats(min_value=0.5, max_value=200.0, width=32),
)
def test_any_graded_spikes(seed, leading, features, dtype, weight_dtype, bounds, rounding, gradient, units, scale):
    torch.manual_seed(seed)
    spikes = ((torch.rand(*leading, features[0]) < 0.4) * torch.randint(1, 4, (*leading, features[0]))).to(dtype)
    weight = (torch.randn(features[1], features[0]) * 2).to(weight_dtype)
    wide = weight.to(torch.float64 if weight_dtype == torch.float64 else torch.float32).numpy()
    spikes.requires_grad_(spikes.is_floating_point())
    weight.requires_grad_()
    out = F.graded_spikes(spikes, weight, scale, *bounds, rounding=rounding, gradient=gradient, units=units)

    integers = hardware_weights.hardware_weights(wide, scale, *bounds, rounding)
    rows = spikes.detach().long().reshape(math.prod(leading), features[0])
    factor = (torch.ones(()) / torch.tensor(scale)).item() if units == "model" else 1.0
    total = torch.from_numpy(products.integer_product(rows.numpy(), integers)).to(out.dtype)
    assert torch.equal(out.detach().reshape(total.shape), total * factor)

    upstream = torch.randn(out.shape, dtype=out.dtype)
    flat = upstream.double().reshape(total.shape)
    leaves = [tensor for tensor in (weight, spikes) if tensor.requires_grad]
    gradients = torch.autograd.grad(out, leaves, upstream)
    to_integers = (flat.t() @ rows.double() * factor).numpy()
    expected = linear_saturating.weight_gradient(to_integers, wide, scale, *bounds, gradient)
    assert_near(gradients[0], torch.from_numpy(expected))
    for actual in gradients[1:]:
        assert_near(actual.reshape(rows.shape), flat @ torch.from_numpy(integers).double() * factor)


def assert_near(actual, expected):
    """Within the rounding of sums of tens of terms, and of a narrow dtype at the end."""
    bound = {torch.float16: 2.0**-10, torch.bfloat16: 2.0**-7, torch.float32: 1e-5, torch.float64: 1e-13}[actual.dtype]
    assert actual.shape == expected.shape
    assert actual.numel() == 0 or (actual.double() - expected).abs().max() <= bound * expected.abs().max() + 1e-7
