import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradspike import functional as F
from gradspike import nn
from gradspike.functional import RecurrentLIFOutput, recurrent_lif
from neurons import NUMBERS, heterogeneous, relative_error, to_double, to_numpy
from reference import eager
from reference import recurrent_lif as reference

ALL = "spikes+membrane+current"
TRAINABLE = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance")
SCALES = {"input_scale": 24.0, "recurrent_scale": 40.0}
SCALE_PAIR = (24.0, 40.0)


def assert_same_bits(result, expected):
    for name, actual, wanted in zip(RecurrentLIFOutput._fields, result, expected, strict=True):
        assert actual.dtype == wanted.dtype, name
        assert torch.equal(actual, wanted), name


def network(steps, batch, inputs, neurons, dtype=torch.float32, rate=0.2):
    """Spikes and weights with which the neurons fire now and then; some weights clip."""
    spikes = (torch.rand(steps, batch, inputs) < rate).to(dtype)
    input_weight = torch.randn(neurons, inputs, dtype=dtype) * (2.5 / (inputs * rate) ** 0.5) + 0.2
    recurrent_weight = torch.randn(neurons, neurons, dtype=dtype) * (2.0 / max(neurons, 1) ** 0.5)
    return spikes, input_weight, recurrent_weight


def unfused(spikes, input_weight, recurrent_weight, parameters, mask=None, state=None, scales=SCALES, **options):
    """The same as a loop over the steps with the operators of one projection and one population."""
    measured = {name: options.pop(name, None) for name in ("measured_spikes", "measured_membrane")}
    recurrent_options = {"rounding": options.get("rounding", "half_even"), "units": options.get("units", "model")}
    if mask is not None:
        recurrent_weight = recurrent_weight.masked_fill(~mask, 0.0)
    rest = None if state is None else state[:3]
    last = torch.zeros(spikes.shape[1], input_weight.shape[0], dtype=input_weight.dtype) if state is None else state[3]
    traces = ([], [], [])
    for t in range(spikes.shape[0]):
        x = F.graded_spikes(spikes[t], input_weight, scales["input_scale"], **recurrent_options)
        x = x + F.graded_spikes(last, recurrent_weight, scales["recurrent_scale"], **recurrent_options)
        now = {n: v[t : t + 1] for n, v in measured.items() if v is not None and t < v.shape[0]}
        out = F.lif(x[None], **parameters, outputs=ALL, initial_state=rest, **now)
        rest, last = out.state, out.spikes[0]
        for trace, row in zip(traces, out):
            trace.append(row[0])
    return (*(torch.stack(trace) for trace in traces), torch.cat([rest, last[None]]))


# ---- forward -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", ["model", "lsb"])
@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
@pytest.mark.parametrize("per_neuron", [(), TRAINABLE])
def test_values_in_float64(per_neuron, refractory_time, units):
    spikes, w_in, w_rec = network(40, 2, 7, 9, torch.float64)
    in_model = {"input_scale": 32.0, "recurrent_scale": 16.0}  # whose float32 inverse is exact
    scales = in_model if units == "model" else {"input_scale": 1.5, "recurrent_scale": 2.5}
    parameters = heterogeneous(per_neuron, 9, torch.float64) | {"refractory_time": refractory_time}
    result = recurrent_lif(spikes, w_in, w_rec, **parameters, **scales, units=units, outputs=ALL)
    integers = [F.hardware_weights(w, s).long().numpy() for w, s in zip((w_in, w_rec), scales.values())]
    expected = reference.recurrent_lif(
        spikes.long().numpy(), *integers, to_numpy(parameters), *scales.values(), units=units
    )
    assert 0.02 < result.spikes.mean() < 0.6
    for name, actual, wanted in zip(RecurrentLIFOutput._fields, result, expected, strict=True):
        torch.testing.assert_close(actual, torch.from_numpy(wanted), rtol=1e-11, atol=1e-11, msg=name)


@pytest.mark.parametrize("refractory_steps", [0, 3])
@pytest.mark.parametrize("per_neuron", [(), TRAINABLE])
def test_bits_of_the_eager_loop_over_a_million_steps(per_neuron, refractory_steps):
    spikes, w_in, w_rec = network(250, 33, 60, 129, rate=0.05)  # 1.06e6 element steps
    parameters = heterogeneous(per_neuron, 129) | {"refractory_time": refractory_steps * 1e-6}
    result = recurrent_lif(spikes, w_in, w_rec, **parameters, **SCALES, outputs=ALL)
    assert 0.005 < result.spikes.mean() < 0.5
    assert_same_bits(result, eager.recurrent_lif(spikes, w_in, w_rec, parameters, SCALE_PAIR))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_of_the_unfused_loop(dtype, masked):
    spikes, w_in, w_rec = network(70, 5, 40, 67, dtype)
    mask = torch.rand(67, 67) < 0.5 if masked else None
    parameters = heterogeneous(("threshold", "tau_syn"), 67, dtype) | {"refractory_time": 1e-6}
    result = recurrent_lif(spikes, w_in, w_rec, **parameters, **SCALES, outputs=ALL, recurrent_mask=mask)
    assert_same_bits(result, unfused(spikes, w_in, w_rec, parameters, mask))


@pytest.mark.parametrize(
    "bounds",
    [(-63.0, 63.0, -315.0, 315.0), (-315.0, 315.0, 0.0, 63.0), (-32767.0, 32767.0, -32767.0, 32767.0)],
)
def test_bounds_of_either_projection(bounds):
    spikes, w_in, w_rec = network(30, 3, 20, 33)
    scales = {"input_scale": 2.0 * bounds[1], "recurrent_scale": 2.0 * bounds[3]}
    names = ("input_min_weight", "input_max_weight", "recurrent_min_weight", "recurrent_max_weight")
    result = recurrent_lif(spikes, w_in, w_rec, **scales, **dict(zip(names, bounds)), outputs=ALL)
    parts = {}
    for key, weight, low, high, scale in (
        ("in", w_in, bounds[0], bounds[1], scales["input_scale"]),
        ("rec", w_rec, bounds[2], bounds[3], scales["recurrent_scale"]),
    ):
        parts[key] = lambda s, w=weight, lo=low, hi=high, f=scale: F.graded_spikes(s, w, f, lo, hi)
    last, state, traces = torch.zeros(3, 33), None, []
    for row in spikes:
        out = F.lif((parts["in"](row) + parts["rec"](last))[None], outputs=ALL, initial_state=state)
        state, last = out.state, out.spikes[0]
        traces.append(out.membrane[0])
    assert torch.equal(result.membrane, torch.stack(traces))


@pytest.mark.parametrize("rounding", ["half_even", "half_away"])
def test_rounding_of_halves(rounding):
    spikes, w_in, w_rec = network(30, 3, 20, 33)
    w_in, w_rec = (w_in * 8).round() / 16, (w_rec * 8).round() / 16
    scales = {"input_scale": 8.0, "recurrent_scale": 8.0}
    result = recurrent_lif(spikes, w_in, w_rec, **scales, rounding=rounding, outputs=ALL)
    assert_same_bits(result, unfused(spikes, w_in, w_rec, {}, scales=scales, rounding=rounding))


@pytest.mark.parametrize("units", ["model", "lsb"])
def test_rounding_none_is_the_float_product_in_the_order_of_pre(units):
    spikes, w_in, w_rec = network(20, 2, 9, 11)
    scales = SCALES if units == "model" else {"input_scale": 1.5, "recurrent_scale": 2.5}
    result = recurrent_lif(spikes, w_in, w_rec, **scales, rounding="none", units=units, outputs=ALL)
    last, state, membranes = torch.zeros(2, 11), None, []

    def product(s, weight, scale):
        total = torch.zeros(s.shape[0], weight.shape[0])
        for pre in range(weight.shape[1]):
            total = total + s[:, pre, None] * weight[:, pre]
        return total * scale if units == "lsb" else total

    for row in spikes:
        x = product(row, w_in, scales["input_scale"]) + product(last, w_rec, scales["recurrent_scale"])
        out = F.lif(x[None], outputs=ALL, initial_state=state)
        state, last = out.state, out.spikes[0]
        membranes.append(out.membrane[0])
    assert torch.equal(result.membrane, torch.stack(membranes))


@pytest.mark.parametrize("kind", ["counts", "real", "bytes", "half", "bool"])
def test_kinds_of_spikes(kind):
    spikes, w_in, w_rec = network(30, 3, 20, 17)
    if kind == "counts":
        spikes = spikes * torch.randint(1, 128, spikes.shape)
    elif kind == "real":
        spikes = spikes * torch.rand_like(spikes)
    given = {"bytes": spikes.byte(), "half": spikes.half(), "bool": spikes.bool()}.get(kind, spikes)
    result = recurrent_lif(given, w_in, w_rec, **NUMBERS, **SCALES, outputs=ALL)
    assert_same_bits(result, unfused(spikes, w_in, w_rec, NUMBERS))


def test_nan_weights_are_nan_at_all_times():
    spikes, w_in, w_rec = network(10, 2, 5, 6)
    w_rec[2, 3] = float("nan")
    result = recurrent_lif(spikes, w_in, w_rec, **SCALES, outputs=ALL)
    assert result.current[:, :, 2].isnan().all() and not result.current[:, :, [0, 1, 3, 4, 5]].isnan().any()
    mask = torch.ones(6, 6, dtype=torch.bool)
    mask[2, 3] = False
    assert not recurrent_lif(spikes, w_in, w_rec, **SCALES, recurrent_mask=mask, outputs=ALL).current.isnan().any()


def test_spikes_come_back_one_step_later():
    spikes = torch.zeros(6, 1, 1)
    spikes[0] = 1.0
    out = recurrent_lif(spikes, torch.tensor([[20.0], [0.0]]), torch.tensor([[0.0, 0.0], [20.0, 0.0]]), outputs=ALL)
    assert out.spikes[:, 0, 0].tolist()[:2] == [0.0, 1.0]
    assert out.current[:, 0, 1].tolist()[:3] == [0.0, 0.0, 20.0]
    assert out.spikes[:, 0, 1].tolist()[:4] == [0.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (1, 5, 3, 3), (0, 2, 3, 4), (4, 0, 3, 2), (4, 2, 0, 3), (4, 2, 3, 0), (3, 7, 31, 130)]
)
def test_sizes(shape):
    steps, batch, inputs, neurons = shape
    spikes, w_in, w_rec = torch.ones(steps, batch, inputs), torch.ones(neurons, inputs), torch.ones(neurons, neurons)
    parameters = NUMBERS | {"refractory_time": 2e-6}
    leaves = [t.clone().requires_grad_() for t in (spikes, w_in, w_rec)]
    result = recurrent_lif(*leaves, **parameters, **SCALES, outputs=ALL)
    assert_same_bits(result, eager.recurrent_lif(spikes, w_in, w_rec, parameters, SCALE_PAIR))
    sum(output.sum() for output in result).backward()
    assert [leaf.grad.shape for leaf in leaves] == [t.shape for t in (spikes, w_in, w_rec)]


def test_non_contiguous():
    spikes, w_in, w_rec = network(20, 3, 8, 6)
    mask = torch.rand(6, 6) < 0.5
    expected = recurrent_lif(spikes, w_in, w_rec, **NUMBERS, **SCALES, recurrent_mask=mask, outputs=ALL)
    views = [t.transpose(0, -1).contiguous().transpose(0, -1) for t in (spikes, w_in, w_rec, mask)]
    assert not any(view.is_contiguous() for view in views)
    result = recurrent_lif(*views[:3], **NUMBERS, **SCALES, recurrent_mask=views[3], outputs=ALL)
    assert_same_bits(result, expected)


@pytest.mark.parametrize("outputs", ["spikes", "membrane", "current", "membrane+spikes", ALL, ""])
def test_only_the_outputs_asked_for(outputs):
    tensors = network(20, 2, 3, 5)
    result, full = (recurrent_lif(*tensors, **NUMBERS, **SCALES, outputs=o) for o in (outputs, ALL))
    for name in ("spikes", "membrane", "current"):
        if name in outputs.split("+"):
            assert torch.equal(getattr(result, name), getattr(full, name))
        else:
            assert getattr(result, name).shape == (0,)
    assert torch.equal(result.state, full.state)


@pytest.mark.parametrize("refractory_time", [0.0, 3e-6])
@pytest.mark.parametrize("chunk", [1, 7])
def test_streaming_gives_the_bits_of_the_whole_run(chunk, refractory_time):
    spikes, w_in, w_rec = network(50, 3, 20, 19)
    parameters = heterogeneous(("tau_mem", "threshold"), 19) | {"refractory_time": refractory_time}
    whole = recurrent_lif(spikes, w_in, w_rec, **parameters, **SCALES, outputs=ALL)
    state, parts = None, []
    for part in spikes.split(chunk):
        out = recurrent_lif(part, w_in, w_rec, **parameters, **SCALES, outputs=ALL, initial_state=state)
        state = out.state
        parts.append(out)
    joined = [torch.cat([getattr(part, name) for part in parts]) for name in ("spikes", "membrane", "current")]
    assert_same_bits((*joined, state), whole)
    assert torch.equal(whole.state[3], whole.spikes[-1])


def test_no_steps_give_the_initial_state():
    state = torch.randn(4, 2, 5)
    _, w_in, w_rec = network(1, 2, 3, 5)
    assert torch.equal(recurrent_lif(torch.empty(0, 2, 3), w_in, w_rec, initial_state=state).state, state)


def test_block_mask_of_two_populations_equals_two_coupled_populations():
    """Populations a and b: a -> b and b -> a, and nothing within them; whatever stands in the blocks of the mask."""
    steps, batch, inputs, a, b = 60, 4, 12, 30, 21
    spikes, w_in, w_rec = network(steps, batch, inputs, a + b)
    mask = torch.zeros(a + b, a + b, dtype=torch.bool)
    mask[:a, a:] = mask[a:, :a] = True
    w_rec[:a, :a] = 1e6
    w_rec[a:, a:] = float("nan")
    whole = recurrent_lif(spikes, w_in, w_rec, **NUMBERS, **SCALES, recurrent_mask=mask, outputs=ALL)
    z_a, z_b, state_a, state_b = torch.zeros(batch, a), torch.zeros(batch, b), None, None
    membranes = []
    for row in spikes:
        x_a = F.graded_spikes(row, w_in[:a], SCALE_PAIR[0]) + F.graded_spikes(z_b, w_rec[:a, a:], SCALE_PAIR[1])
        x_b = F.graded_spikes(row, w_in[a:], SCALE_PAIR[0]) + F.graded_spikes(z_a, w_rec[a:, :a], SCALE_PAIR[1])
        out_a = F.lif(x_a[None], **NUMBERS, outputs=ALL, initial_state=state_a)
        out_b = F.lif(x_b[None], **NUMBERS, outputs=ALL, initial_state=state_b)
        z_a, z_b, state_a, state_b = out_a.spikes[0], out_b.spikes[0], out_a.state, out_b.state
        membranes.append(torch.cat([out_a.membrane[0], out_b.membrane[0]], dim=1))
    assert 0 < whole.spikes.mean() < 0.5
    assert torch.equal(whole.membrane, torch.stack(membranes))


# ---- measured data -----------------------------------------------------------------------------------------------


def measured(kind, steps, batch, neurons, dtype=torch.float32, largest=1):
    shape = (steps, batch, neurons)
    spikes = ((torch.rand(shape) < 0.2) * torch.randint(1, largest + 1, shape)).to(dtype)
    membrane = torch.randn(shape).to(dtype)
    return {
        "spikes": {"measured_spikes": spikes},
        "membrane": {"measured_membrane": membrane},
        "both": {"measured_spikes": spikes, "measured_membrane": membrane[: steps // 2]},
    }[kind]


@pytest.mark.parametrize("steps", [30, 11])
@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
@pytest.mark.parametrize("kind", ["spikes", "membrane", "both"])
def test_measured_data_gives_the_bits_of_the_loops(kind, refractory_time, steps):
    spikes, w_in, w_rec = network(30, 3, 20, 17)
    data = measured(kind, steps, 3, 17, largest=2)
    parameters = heterogeneous(TRAINABLE, 17) | {"refractory_time": refractory_time}
    result = recurrent_lif(spikes, w_in, w_rec, **parameters, **SCALES, outputs=ALL, **data)
    assert_same_bits(result, eager.recurrent_lif(spikes, w_in, w_rec, parameters, SCALE_PAIR, **data))
    assert_same_bits(result, unfused(spikes, w_in, w_rec, parameters, **data))
    if "measured_spikes" in data:
        assert torch.equal(result.spikes[:steps], data["measured_spikes"])


def test_measured_spikes_go_along_the_recurrent_projection():
    w_rec = torch.tensor([[0.0, 0.0], [20.0, 0.0]])
    spikes, given = torch.zeros(3, 1, 1), torch.tensor([[[1.0, 0.0]]])
    out = recurrent_lif(spikes, torch.zeros(2, 1), w_rec, measured_spikes=given, outputs=ALL)
    assert out.current[:, 0, 1].tolist()[:2] == [0.0, 20.0]


def test_measured_spikes_that_are_no_counts():
    spikes, w_in, w_rec = network(12, 3, 9, 17)
    given = torch.rand(7, 3, 17)
    result = recurrent_lif(spikes, w_in, w_rec, **NUMBERS, **SCALES, outputs=ALL, measured_spikes=given)
    assert_same_bits(result, unfused(spikes, w_in, w_rec, NUMBERS, measured_spikes=given))


# ---- gradients ---------------------------------------------------------------------------------------------------


def gradients(outputs, leaves):
    generator = torch.Generator().manual_seed(3)
    loss = sum((o * torch.randn(o.shape, generator=generator, dtype=torch.float64)).sum() for o in outputs)
    return torch.autograd.grad(loss, leaves)


def leaves_of(dtype, neurons=11, inputs=6, steps=25, batch=3, state=True, **options):
    spikes, w_in, w_rec = network(steps, batch, inputs, neurons, dtype)
    parameters = heterogeneous(TRAINABLE, neurons, dtype)
    initial = torch.randn(4, batch, neurons, dtype=dtype) * 0.3
    initial[2] = torch.randint(0, 3, (batch, neurons))
    initial[3] = (torch.rand(batch, neurons) < 0.3).to(dtype)
    tensors = {"spikes": spikes, "input_weight": w_in, "recurrent_weight": w_rec}
    tensors |= {name: parameters[name] for name in TRAINABLE}
    if state:
        tensors["initial_state"] = initial
    return {name: tensor.clone().requires_grad_() for name, tensor in tensors.items()}


def run_fused(leaves, **options):
    return recurrent_lif(**leaves, **SCALES, outputs=ALL, **options)


def run_eager(leaves, mask=None, **options):
    leaves = dict(leaves)
    state = leaves.pop("initial_state", None)
    tensors = [leaves.pop(name) for name in ("spikes", "input_weight", "recurrent_weight")]
    parameters = leaves | {"refractory_time": options.pop("refractory_time", 0.0)}
    return eager.recurrent_lif(*tensors, parameters, SCALE_PAIR, mask=mask, state=state, **options)


def without_refractory_row(names, grads):
    return {n: (g[[0, 1, 3]] if n == "initial_state" else g) for n, g in zip(names, grads)}


@pytest.mark.parametrize("state", [True, False])
@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_in_float64(masked, refractory_time, state):
    leaves = leaves_of(torch.float64, state=state)
    mask = torch.rand(11, 11) < 0.6 if masked else None
    fused = run_fused(leaves, recurrent_mask=mask, refractory_time=refractory_time)
    loop = run_eager(leaves, mask, refractory_time=refractory_time)
    assert torch.equal(fused.spikes, loop[0]) and fused.spikes.sum() > 20
    names, values = list(leaves), list(leaves.values())
    actual = without_refractory_row(names, gradients(fused, values))
    expected = without_refractory_row(names, gradients(loop, values))
    for name in names:
        assert relative_error(actual[name], expected[name]) < 1e-9, name
    if masked:
        assert actual["recurrent_weight"][~mask].abs().sum() == 0.0


@pytest.mark.parametrize("steps", [25, 9])
@pytest.mark.parametrize("kind", ["spikes", "membrane", "both"])
def test_gradients_with_measured_data(kind, steps):
    leaves = leaves_of(torch.float64)
    data = measured(kind, steps, 3, 11, torch.float64, largest=2)
    names, values = list(leaves), list(leaves.values())
    actual = without_refractory_row(names, gradients(run_fused(leaves, **data), values))
    expected = without_refractory_row(names, gradients(run_eager(leaves, **data), values))
    for name in names:
        assert relative_error(actual[name], expected[name]) < 1e-9, name


def test_gradients_in_float32_are_close_to_float64():
    leaves = leaves_of(torch.float32, neurons=70, inputs=50, steps=60)
    wide = {name: leaf.detach().double().requires_grad_() for name, leaf in leaves.items()}
    # The spikes of the narrow run are given to the wide one, so that both take the same path.
    narrow = run_fused(leaves)
    actual = gradients(narrow, list(leaves.values()))
    given = {"measured_spikes": narrow.spikes.detach().double()}
    expected = gradients(run_fused(wide, **given), list(wide.values()))
    for name, a, e in zip(leaves, actual, expected):
        if name != "initial_state":
            assert relative_error(a, e) < 2e-3, name


@pytest.mark.parametrize("gradient", ["clipped", "identity", "returning"])
def test_straight_through_rules(gradient):
    """As graded_spikes gives them for the same gradient to the current's input."""
    spikes, w_in, w_rec = network(20, 2, 6, 8)
    w_in, w_rec = (w * 3 for w in (w_in, w_rec))  # many clip
    fused = [w.clone().requires_grad_() for w in (w_in, w_rec)]
    loop = [w.clone().requires_grad_() for w in (w_in, w_rec)]
    out = recurrent_lif(spikes, *fused, **SCALES, gradient=gradient, outputs="membrane")
    weights = torch.randn_like(out.membrane)
    (out.membrane * weights).sum().backward()
    last, state, membranes = torch.zeros(2, 8), None, []
    for row in spikes:
        x = F.graded_spikes(row, loop[0], SCALE_PAIR[0], gradient=gradient)
        x = x + F.graded_spikes(last, loop[1], SCALE_PAIR[1], gradient=gradient)
        step = F.lif(x[None], outputs=ALL, initial_state=state)
        state, last = step.state, step.spikes[0]
        membranes.append(step.membrane[0])
    if gradient != "returning":  # whether a weight returns is decided per step there, on the whole sum here
        (torch.stack(membranes) * weights).sum().backward()
        for a, e in zip(fused, loop):
            assert relative_error(a.grad, e.grad) < 1e-4
    else:
        outside = (w_rec * SCALE_PAIR[1]).abs() > 63
        inward = (fused[1].grad * w_rec)[outside] >= 0
        assert outside.any() and inward.all()


@pytest.mark.parametrize("units", ["model", "lsb"])
def test_gradients_of_the_float_product(units):
    leaves = leaves_of(torch.float64)
    factors = {"input_scale": 1.5, "recurrent_scale": 0.5}
    out = recurrent_lif(**leaves, **factors, rounding="none", units=units, outputs=ALL)
    values = list(leaves.values())
    actual = gradients(out, values)
    f_in, f_rec = factors.values() if units == "lsb" else (1.0, 1.0)
    parameters = {name: leaves[name] for name in TRAINABLE} | {"refractory_time": 0.0}
    state = leaves["initial_state"]
    rest, last, traces = state[:3], state[3], ([], [], [])
    for row in leaves["spikes"]:
        x = f_in * row @ leaves["input_weight"].t() + f_rec * last @ leaves["recurrent_weight"].t()
        *step, rest = eager.lif(x[None], parameters, state=rest)
        last = step[0][0]
        for trace, value in zip(traces, step):
            trace.append(value[0])
    loop = (*(torch.stack(trace) for trace in traces), torch.cat([rest, last[None]]))
    expected = gradients(loop, values)
    for name, a, e in zip(leaves, actual, expected):
        if name == "initial_state":
            a, e = a[[0, 1, 3]], e[[0, 1, 3]]
        assert relative_error(a, e) < 1e-9, name


def test_gradcheck_below_threshold():
    spikes, w_in, w_rec = network(6, 2, 3, 4, torch.float64)
    state = torch.randn(3, 2, 4, dtype=torch.float64) * 0.1
    leaves = [t.requires_grad_() for t in (spikes, w_in, w_rec, state)]

    def run(spikes, w_in, w_rec, state):
        full = torch.cat([state[:2], torch.zeros(1, 2, 4, dtype=torch.float64), state[2:]])
        out = recurrent_lif(
            spikes, w_in, w_rec, threshold=1e9, rounding="none", initial_state=full, outputs="membrane+current"
        )
        return out.membrane, out.current

    assert torch.autograd.gradcheck(run, leaves)


def test_gradient_flows_through_streamed_states():
    spikes, w_in, w_rec = network(24, 2, 6, 7, torch.float64)
    results = []
    for chunk in (24, 5):
        leaves = [t.clone().requires_grad_() for t in (spikes, w_in, w_rec)]
        state, parts = None, []
        for part in leaves[0].split(chunk):
            out = recurrent_lif(part, *leaves[1:], **NUMBERS, **SCALES, initial_state=state)
            state = out.state
            parts.append(out.spikes)
        loss = torch.cat(parts).mul(torch.linspace(-1, 1, 24 * 14, dtype=torch.float64).view(24, 2, 7)).sum()
        results.append(torch.autograd.grad(loss, leaves))
    for whole, streamed in zip(*results):
        assert relative_error(streamed, whole) < 1e-12


@pytest.mark.parametrize("every", [1, 4, 25, 100])
@pytest.mark.parametrize("state", [True, False])
@pytest.mark.parametrize("data", [{}, {"refractory_time": 2e-6}, {"measured": True}])
def test_recomputing_gives_the_same_bits(every, state, data):
    leaves = leaves_of(torch.float32, state=state)
    options = measured("both", 14, 3, 11) if data.get("measured") else data
    values = list(leaves.values())
    whole, again = run_fused(leaves, **options), run_fused(leaves, recompute_every=every, **options)
    assert_same_bits(again, whole)
    for name, a, e in zip(leaves, gradients(again, values), gradients(whole, values)):
        assert torch.equal(a, e), name


def test_recomputing_keeps_the_states_alone():
    spikes, w_in, w_rec = network(100, 4, 6, 8)
    numbers = [torch.tensor(value, dtype=torch.float64) for value in (0.0, 0.0, 1.0, 1e-5, 1e-5, 1e-5, 0.0)]
    options = (None, 1.0, -63.0, 63.0, 1.0, -63.0, 63.0, "half_even", "clipped", "model", 1e-6, "superspike", 50.0)
    out = torch.ops.gradspike._recurrent_lif_forward(
        spikes, w_in, w_rec, *numbers, *options, "", None, None, None, 30, True
    )
    assert out[4].numel() == 0 and out[8].shape == (4, 4, 4, 8)
    assert torch.equal(out[8][0], torch.zeros(4, 4, 8))


def test_backward_is_linear_in_the_number_of_steps():
    """CPU time; a backward that is quadratic would take sixteen times as long for four times the steps."""

    def seconds(steps):
        spikes, w_in, w_rec = network(steps, 8, 64, 64, rate=0.05)
        leaves = [w_in.requires_grad_(), w_rec.requires_grad_()]
        best = float("inf")
        for _ in range(5):
            loss = recurrent_lif(spikes, *leaves, **SCALES).spikes.sum()
            start = time.process_time()
            torch.autograd.grad(loss, leaves)
            best = min(best, time.process_time() - start)
        return best

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert seconds(4000) < 8 * seconds(1000)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("batch", [1, 5, 13])
def test_the_same_bits_for_any_number_of_threads(batch):
    leaves = leaves_of(torch.float32, neurons=75, inputs=40, batch=batch)
    leaves["spikes"].requires_grad_(False)  # a library product, whose order is its own
    wanted = [leaf for leaf in leaves.values() if leaf.requires_grad]
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            out = run_fused(leaves)
            results.append((*out, *gradients(out, wanted)))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, e) for a, e in zip(other, results[0]))


def test_batch_entries_do_not_depend_on_their_neighbours():
    leaves = leaves_of(torch.float32, neurons=75, inputs=40, batch=6, state=False)
    whole = run_fused(leaves)
    (grad,) = torch.autograd.grad(whole.membrane.sum(), leaves["spikes"])
    for entry in range(6):
        alone = leaves | {"spikes": leaves["spikes"].detach()[:, entry : entry + 1].clone().requires_grad_()}
        out = run_fused(alone)
        assert torch.equal(out.membrane, whole.membrane[:, entry : entry + 1])
        (part,) = torch.autograd.grad(out.membrane.sum(), alone["spikes"])
        assert relative_error(part, grad[:, entry : entry + 1]) < 1e-5  # a library product, whose order is its own


def test_no_gradient_where_none_is_asked_for():
    assert not any(output.requires_grad for output in recurrent_lif(*network(5, 1, 2, 3)))


def test_parameters_in_the_dtype_that_they_have():
    leaves = leaves_of(torch.float32)
    half = leaves["recurrent_weight"].detach().half().requires_grad_()
    out = run_fused(leaves | {"recurrent_weight": half})
    (grad,) = torch.autograd.grad(out.spikes.sum(), half)
    assert grad.dtype == torch.float16 and out.spikes.dtype == torch.float32


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(0, 6),
    st.integers(0, 9),
    st.integers(0, 70),
    st.integers(0, 3),
    st.lists(st.sampled_from(TRAINABLE), unique=True),
    st.integers(0, 2**31),
)
def test_any_run_gives_the_bits_of_the_eager_loop(steps, batch, inputs, neurons, refractory_steps, per_neuron, seed):
    torch.manual_seed(seed)
    spikes, w_in, w_rec = network(steps, batch, max(inputs, 1), neurons)
    parameters = heterogeneous(per_neuron, neurons) | {"refractory_time": refractory_steps * 1e-6}
    result = recurrent_lif(spikes, w_in, w_rec, **parameters, **SCALES, outputs=ALL)
    assert_same_bits(result, eager.recurrent_lif(spikes, w_in, w_rec, parameters, SCALE_PAIR))


def test_names_change_nothing():
    tensors = network(10, 2, 3, 5)
    named = recurrent_lif(*tensors, projection="in", recurrent_projection="rec", population="any/name", outputs=ALL)
    assert_same_bits(named, recurrent_lif(*tensors, outputs=ALL))


# ---- the module --------------------------------------------------------------------------------------------------


class TestModule:
    def make(self, **options):
        return nn.RecurrentLIF(6, 9, **options)

    def test_is_the_operator(self):
        mask = torch.rand(9, 9) < 0.5
        module = self.make(mask=mask, threshold=0.9, tau_mem=torch.full((9,), 8e-6), refractory_time=2e-6)
        spikes = (torch.rand(20, 2, 6) < 0.5).float()
        expected = recurrent_lif(
            spikes, module.input_weight, module.recurrent_weight, threshold=0.9, tau_mem=module.tau_mem,
            refractory_time=2e-6, recurrent_mask=mask, input_scale=module.input_scale,
            recurrent_scale=module.recurrent_scale, outputs=ALL,
        )  # fmt: skip
        assert torch.equal(module(spikes), expected.spikes)
        assert_same_bits(module.traces(spikes), expected)

    def test_default_scales_are_those_of_a_synapse(self):
        module = nn.RecurrentLIF(700, 256)
        assert module.input_scale == nn.default_scale(700)
        assert module.recurrent_scale == nn.default_scale(256)
        for weight, scale in (
            (module.input_weight, module.input_scale),
            (module.recurrent_weight, module.recurrent_scale),
        ):
            statistics = F.weight_statistics(weight, scale)
            assert statistics.clipped_fraction < 0.05 and statistics.to_zero_fraction < 0.05

    def test_steps_give_the_bits_of_the_run(self):
        module, spikes = self.make(), (torch.rand(20, 2, 6) < 0.5).float()
        state, steps = None, []
        for row in spikes:
            step, state = module.step(row, state)
            steps.append(step)
        assert torch.equal(torch.stack(steps), module(spikes))

    @pytest.mark.parametrize("masked", [False, True])
    def test_scripts(self, masked):
        mask = torch.rand(9, 9) < 0.5 if masked else None
        module, spikes = self.make(mask=mask, leak=torch.zeros(9)), (torch.rand(20, 2, 6) < 0.5).float()
        scripted = torch.jit.script(module)
        assert torch.equal(scripted(spikes), module(spikes))
        for actual, wanted in zip(scripted.traces(spikes), module.traces(spikes)):
            assert torch.equal(actual, wanted)

    def test_trains(self):
        module = self.make(recompute_every=4, threshold=torch.nn.Parameter(torch.ones(9)))
        module.traces((torch.rand(20, 4, 6) < 0.5).float()).membrane.square().sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())

    def test_repr_and_state(self):
        module = self.make(name="loop", mask=torch.eye(9, dtype=torch.bool))
        assert repr(module).startswith("RecurrentLIF(6, 9, ") and "name=loop" in repr(module)
        assert list(module.state_dict()) == ["input_weight", "recurrent_weight", "mask"]


def test_to_double_is_exact():
    """The widened parameters of the gradient tests are the same numbers."""
    parameters = heterogeneous(("leak",), 3)
    assert torch.equal(to_double(parameters)["leak"].float(), parameters["leak"])


def test_segments_longer_than_the_run_cost_no_more():
    weights = [torch.randn(4, 3, requires_grad=True), torch.randn(4, 4, requires_grad=True)]
    results = []
    for recompute_every in (0, 2**31 - 1):
        out = recurrent_lif(torch.ones(5, 2, 3), *weights, input_scale=20.0, recompute_every=recompute_every)
        results.append(torch.autograd.grad(out.spikes.sum(), weights))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    with pytest.raises(RuntimeError, match="recompute_every.*1000000000000"):
        recurrent_lif(torch.ones(5, 2, 3), *weights, recompute_every=10**12)
