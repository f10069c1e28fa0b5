import itertools
from typing import Tuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradspike import chip, nn
from gradspike.functional import AELIFOutput, aelif, lif
from neurons import NUMBERS as LIF_NUMBERS
from neurons import drive, relative_error, to_double, to_numpy
from reference import aelif as reference
from reference import eager

ALL = "spikes+membrane+current+adaptation"
NUMBERS = LIF_NUMBERS | {
    "exponential_slope": 0.21,
    "exponential_threshold": 0.78,
    "subthreshold_adaptation_strength": 0.43,
    "spike_triggered_adaptation_increment": 0.37,
    "tau_adap": 23.3e-6,
}
TRAINABLE = tuple(name for name in NUMBERS if name != "refractory_time")
FLAGS = reference.FLAGS
COMBINATIONS = [dict(zip(FLAGS, values)) for values in itertools.product((True, False), repeat=5)]
PLAIN = [flags for flags in COMBINATIONS if not flags["exponential"]]
FULL = dict.fromkeys(FLAGS, True)
LIF = FULL | {"exponential": False, "subthreshold_adaptation": False, "spike_triggered_adaptation": False}


def name_of(flags):
    return "+".join(name for name, value in flags.items() if value) or "none"


def heterogeneous(names, neurons, dtype=torch.float32):
    return {
        name: (value * (0.8 + 0.4 * torch.rand(neurons))).to(dtype) if name in names else value
        for name, value in NUMBERS.items()
    }


def assert_same_bits(result, expected):
    for name, actual, wanted in zip(AELIFOutput._fields, result, expected, strict=True):
        assert actual.dtype == wanted.dtype, name
        assert torch.equal(actual, wanted), name


def adapts(flags):
    return flags["subthreshold_adaptation"] or flags["spike_triggered_adaptation"]


def drive_for(flags, *shape):
    """Without a leak or a reset the membrane integrates: a smaller drive keeps it where the exponential is finite."""
    x = drive(*shape, torch.float64)
    if flags["exponential"] and not flags["fire"]:
        return (x - x.mean()) * 0.02
    return x if flags["leaky"] and flags["fire"] else (x - x.mean()) * 0.3


# ---- forward -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", COMBINATIONS, ids=name_of)
@pytest.mark.parametrize("refractory_time", [0.0, 2.3e-6])
@pytest.mark.parametrize("per_neuron", [(), TRAINABLE], ids=["numbers", "tensors"])
def test_values_in_float64(per_neuron, refractory_time, flags):
    x = drive_for(flags, 40, 2, 5)
    parameters = heterogeneous(per_neuron, 5, torch.float64) | {"refractory_time": refractory_time}
    result = aelif(x, **parameters, **flags, outputs=ALL)
    expected = reference.aelif(x.numpy(), to_numpy(parameters), flags)
    assert not flags["fire"] or result.spikes.sum() > 0
    assert (result.adaptation.abs().sum() > 0) == (
        flags["subthreshold_adaptation"] or (flags["fire"] and flags["spike_triggered_adaptation"])
    )
    for name, actual, wanted in zip(AELIFOutput._fields, result, expected):
        torch.testing.assert_close(actual, torch.from_numpy(wanted), rtol=1e-9, atol=1e-10, msg=name)


@pytest.mark.parametrize("flags", PLAIN, ids=name_of)
@pytest.mark.parametrize("refractory_steps", [0, 3])
@pytest.mark.parametrize("per_neuron", [(), TRAINABLE], ids=["numbers", "tensors"])
def test_bits_of_the_eager_loop_without_exponential(per_neuron, refractory_steps, flags):
    x = drive(100, 9, 65)
    parameters = heterogeneous(per_neuron, 65) | {"refractory_time": refractory_steps * 1e-6}
    assert_same_bits(aelif(x, **parameters, **flags, outputs=ALL), eager.aelif(x, parameters, **flags))


@pytest.mark.parametrize("refractory_steps", [0, 2])
def test_bits_of_the_eager_loop_over_a_million_steps(refractory_steps):
    x = drive(250, 33, 129)  # 1.06e6 element steps
    flags = FULL | {"exponential": False}
    parameters = heterogeneous(TRAINABLE, 129) | {"refractory_time": refractory_steps * 1e-6}
    result = aelif(x, **parameters, **flags, outputs=ALL)
    assert 0.01 < result.spikes.mean() < 0.5
    assert_same_bits(result, eager.aelif(x, parameters, **flags))


@pytest.mark.parametrize("refractory_steps", [0, 2])
def test_float32_with_exponential_lies_near_the_eager_loop(refractory_steps):
    # torch.exp is another exponential: an occasional spike one step apart is possible, one in a thousand is not.
    x = drive(60, 8, 64)
    parameters = heterogeneous(TRAINABLE, 64) | {"refractory_time": refractory_steps * 1e-6}
    result, expected = aelif(x, **parameters, outputs=ALL), eager.aelif(x, parameters)
    same = (result.spikes == expected[0]).all(0)
    assert same.float().mean() > 0.999
    for name, actual, wanted in zip(("membrane", "current", "adaptation"), result[1:4], expected[1:4]):
        torch.testing.assert_close(actual[:, same], wanted[:, same], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize(
    "names",
    [(name,) for name in TRAINABLE]
    + [("tau_mem", "exponential_slope"), ("tau_adap", "subthreshold_adaptation_strength")],
)
def test_coefficient_rule_for_numbers_and_tensors_mixed(names):
    x = drive(60, 3, 64)
    parameters = heterogeneous(names, 64)
    flags = FULL | {"exponential": False}
    assert_same_bits(aelif(x, **parameters, **flags, outputs=ALL), eager.aelif(x, parameters, **flags))
    scalars = NUMBERS | {name: torch.tensor(NUMBERS[name]) for name in names}
    assert_same_bits(aelif(x, **scalars, **flags, outputs=ALL), eager.aelif(x, scalars, **flags))


@pytest.mark.parametrize("names", [(), ("tau_mem",), ("exponential_slope",), ("membrane_capacitance",), TRAINABLE])
def test_coefficient_table(names):
    p = heterogeneous(names, 7)
    x = torch.zeros(1, 1, 7)
    tensors = [torch.as_tensor(v, dtype=torch.float64) if not isinstance(v, torch.Tensor) else v for v in p.values()]
    options = (1e-6, True, True, True, True, True, "superspike", 50.0, "", None, None, None, None, False)
    table = torch.ops.gradspike._aelif_forward(x, *tensors, *options)[7].expand(13, 7)
    k, g, d = eager.coefficients(p, 1e-6, x)
    gain, decay, factor = eager.aelif_coefficients(p, 1e-6, x)
    rest = [p[n] for n in ("exponential_slope", "exponential_threshold", "spike_triggered_adaptation_increment")]
    expected = {0: k, 1: g, 2: d, 7: gain, 8: rest[0], 9: rest[1], 10: decay, 11: factor, 12: rest[2]}
    for row, value in expected.items():
        assert torch.equal(table[row], torch.as_tensor(value, dtype=torch.float32).expand(7)), row


@pytest.mark.parametrize("refractory_steps", [0, 2])
@pytest.mark.parametrize("kind", [None, "spikes", "membrane", "both"])
@pytest.mark.parametrize("per_neuron", [False, True])
def test_with_leak_and_spikes_alone_it_is_lif(per_neuron, kind, refractory_steps):
    x = drive(50, 3, 65)
    p = heterogeneous(TRAINABLE if per_neuron else (), 65) | {"refractory_time": refractory_steps * 1e-6}
    data = {} if kind is None else measured(kind, x[:40].shape)
    state = initial_state(3, 65, torch.float32, refractory_steps)

    def run(op, fields, adapting):
        leaves = {n: v.clone().requires_grad_() for n, v in p.items() if isinstance(v, torch.Tensor) and n in fields}
        moved = {n: leaves.get(n, v) for n, v in p.items() if n in fields}
        rows = 4 if adapting else 3
        leaf, start = x.clone().requires_grad_(), state[:rows].clone().requires_grad_()
        flags = LIF if adapting else {}
        out = op(leaf, **moved, **flags, outputs="spikes+membrane+current", initial_state=start, **data)
        torch.manual_seed(3)
        weights = [torch.randn(x.shape) for _ in range(3)] + [torch.randn(3, 3, 65)]
        traces = (out.spikes, out.membrane, out.current, out.state[:3])
        sum((o * w).sum() for o, w in zip(traces, weights)).backward()
        return [*traces, leaf.grad, start.grad[:3], *(leaves[n].grad for n in sorted(set(leaves) & set(LIF_NUMBERS)))]

    for actual, wanted in zip(run(aelif, NUMBERS, True), run(lif, LIF_NUMBERS, False), strict=True):
        assert torch.equal(actual, wanted)


def test_adaptation_grows_in_refractory_steps_above_threshold():
    x = torch.full((6, 1, 1), 60.0)
    p = NUMBERS | {"refractory_time": 10e-6, "reset": 2.0}  # the reset itself lies above the threshold
    flags = LIF | {"spike_triggered_adaptation": True}
    out = aelif(x, **p, **flags, outputs=ALL)
    assert out.spikes.sum() == 1
    assert (out.adaptation.flatten()[1:].diff() > 0.3).all()  # although no spike was let through


@pytest.mark.parametrize("flags", COMBINATIONS, ids=name_of)
def test_initial_state(flags):
    state = aelif(torch.empty(0, 2, 3), leak=0.5, **flags).state
    start = 0.5 if flags["leaky"] or flags["subthreshold_adaptation"] else 0.0
    assert torch.equal(state, torch.tensor([0.0, start, 0.0, 0.0]).reshape(4, 1, 1).expand(4, 2, 3))
    given = torch.randn(4, 2, 3)
    assert torch.equal(aelif(torch.empty(0, 2, 3), initial_state=given, **flags).state, given)


def test_without_fire_there_are_no_spikes_and_no_refractory_time():
    x = drive(30, 2, 3) * 3
    flags = FULL | {"fire": False, "exponential": False}
    out = aelif(x, **flags, outputs=ALL, threshold=0.1)
    assert out.spikes.abs().sum() == 0 and (out.membrane > 0.1).any()
    assert_same_bits(aelif(x, **flags, outputs=ALL, threshold=0.1, refractory_time=5e-6), out)
    assert_same_bits(aelif(x, **flags, outputs=ALL, threshold=0.1, refractory_time=torch.tensor(5e-6)), out)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_exponential_beyond_the_range_fires_and_resets(dtype):
    """hxtorch's defaults have exp(300) below the threshold: no NaN may come of it, forward or backward."""
    x = torch.full((120, 1, 2), 25.0, dtype=dtype, requires_grad=True)
    slope = torch.tensor(50e-3, dtype=dtype, requires_grad=True)
    out = aelif(
        x, 80.0, 80.0, 125.0, refractory_time=1e-6, exponential_slope=slope, exponential_threshold=110.0,
        subthreshold_adaptation=False, outputs=ALL,
    )  # fmt: skip
    assert out.spikes.sum() > 4
    sum(o.sum() for o in out[:4]).backward()
    assert all(o.isfinite().all() for o in out)
    assert x.grad.isfinite().all() and slope.grad.isfinite().all() and x.grad.abs().sum() > 0


@pytest.mark.parametrize("flags", [FULL, LIF, FULL | {"fire": False, "exponential": False}], ids=name_of)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (0, 2, 3), (4, 0, 3), (4, 2, 0), (2, 1, 1025), (3, 7, 31)])
def test_sizes(shape, flags):
    x = drive(*shape)
    parameters = NUMBERS | {"refractory_time": 2e-6}
    result, expected = aelif(x, **parameters, **flags, outputs=ALL), eager.aelif(x, parameters, **flags)
    if flags["exponential"]:
        for actual, wanted in zip(result, expected):
            torch.testing.assert_close(actual, wanted)
    else:
        assert_same_bits(result, expected)


def test_non_contiguous():
    x = drive(30, 6, 8)
    expected = aelif(x, **NUMBERS, outputs=ALL)
    for view in (x.transpose(0, 2).contiguous().transpose(0, 2), x.repeat_interleave(2, dim=2)[:, :, ::2]):
        assert not view.is_contiguous()
        assert_same_bits(aelif(view, **NUMBERS, outputs=ALL), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_input_is_widened(dtype):
    x = drive(30, 2, 5).to(dtype)
    assert_same_bits(aelif(x, **NUMBERS, outputs=ALL), aelif(x.float(), **NUMBERS, outputs=ALL))


@pytest.mark.parametrize("outputs", ["spikes", "membrane", "current", "adaptation", "adaptation+spikes", ALL, ""])
def test_only_the_outputs_asked_for(outputs):
    x = drive(20, 2, 3)
    result, full = aelif(x, **NUMBERS, outputs=outputs), aelif(x, **NUMBERS, outputs=ALL)
    for name in ALL.split("+"):
        if name in outputs.split("+"):
            assert torch.equal(getattr(result, name), getattr(full, name))
        else:
            assert getattr(result, name).shape == (0,)
    assert torch.equal(result.state, full.state)


@pytest.mark.parametrize("flags", [FULL, LIF, FULL | {"fire": False, "exponential": False}], ids=name_of)
@pytest.mark.parametrize("refractory_time", [0.0, 3e-6])
@pytest.mark.parametrize("chunk", [1, 7])
def test_streaming_gives_the_bits_of_the_whole_run(chunk, refractory_time, flags):
    x = drive(50, 3, 11)
    p = heterogeneous(("tau_mem", "threshold", "tau_adap"), 11) | {"refractory_time": refractory_time}
    whole = aelif(x, **p, **flags, outputs=ALL)
    state, parts = None, []
    for start in range(0, 50, chunk):
        parts.append(aelif(x[start : start + chunk], **p, **flags, outputs=ALL, initial_state=state))
        state = parts[-1].state
    assert_same_bits((*(torch.cat([getattr(part, n) for part in parts]) for n in ALL.split("+")), state), whole)


def test_every_thread_count_gives_the_same_bits():
    x = drive(40, 17, 301)
    parameters = heterogeneous(TRAINABLE, 301) | {"refractory_time": 2e-6}
    results = []
    before = torch.get_num_threads()
    for threads in (1, 2, 7):
        torch.set_num_threads(threads)
        leaves = {n: v.clone().requires_grad_() for n, v in parameters.items() if isinstance(v, torch.Tensor)}
        leaf = x.clone().requires_grad_()
        out = aelif(leaf, **(parameters | leaves), outputs=ALL)
        sum(o.square().sum() for o in out[:4]).backward()
        results.append([*out, leaf.grad, *(v.grad for v in leaves.values())])
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other, results[0]))


def test_not_finite_input_stays_with_its_neuron():
    for value in (float("nan"), float("inf"), -float("inf"), 3e38):
        x = drive(20, 2, 3)
        clean = aelif(x, **NUMBERS, outputs=ALL)
        x[5, 1, 2] = value
        result = aelif(x, **NUMBERS, outputs=ALL)
        keep = torch.ones(2, 3, dtype=torch.bool)
        keep[1, 2] = False
        assert torch.equal(result.membrane[:, keep], clean.membrane[:, keep])
        assert torch.equal(result.adaptation[:, keep], clean.adaptation[:, keep])


def test_population_name_changes_nothing():
    x = drive(20, 2, 3)
    assert_same_bits(aelif(x, population="any/name", outputs=ALL), aelif(x, outputs=ALL))


# ---- measured data -----------------------------------------------------------------------------------------------

KINDS = ("spikes", "membrane", "adaptation", "both", "all")


def measured(kind, shape, dtype=torch.float32, largest=1):
    spikes = ((torch.rand(shape) < 0.2) * torch.randint(1, largest + 1, shape)).to(dtype)
    membrane, adaptation = (0.5 * torch.randn(shape)).to(dtype), torch.randn(shape).to(dtype)
    values = {"measured_spikes": spikes, "measured_membrane": membrane, "measured_adaptation": adaptation}
    names = {"both": ("spikes", "membrane"), "all": ("spikes", "membrane", "adaptation")}.get(kind, (kind,))
    return {f"measured_{name}": values[f"measured_{name}"] for name in names}


@pytest.mark.parametrize("steps", [30, 21, 0])
@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
@pytest.mark.parametrize("kind", KINDS)
def test_measured_data_replaces_values(kind, refractory_time, steps):
    x = 0.2 * drive(30, 2, 4, torch.float64) - 0.2  # measured spikes do not stop the exponential
    data = measured(kind, x[:steps].shape, torch.float64, 2)
    parameters = NUMBERS | {"refractory_time": refractory_time}
    result = aelif(x, **parameters, outputs=ALL, **data)
    given = {name.split("_")[1]: value.numpy() for name, value in data.items()}
    expected = reference.aelif(x.numpy(), parameters, FULL, measured=given)
    for name, actual, wanted in zip(AELIFOutput._fields, result, expected):
        torch.testing.assert_close(actual, torch.from_numpy(wanted), rtol=1e-9, atol=1e-10, msg=name)
    for name, value in data.items():
        assert torch.equal(getattr(result, name.split("_")[1])[:steps], value)


@pytest.mark.parametrize("steps", [80, 61])
@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
@pytest.mark.parametrize("kind", KINDS)
def test_measured_data_gives_the_bits_of_the_eager_loop(kind, refractory_time, steps):
    x = drive(80, 5, 33)
    flags = FULL | {"exponential": False}
    data = measured(kind, x[:steps].shape, largest=2)
    p = heterogeneous(TRAINABLE, 33) | {"refractory_time": refractory_time}
    assert_same_bits(aelif(x, **p, **flags, outputs=ALL, **data), eager.aelif(x, p, **flags, **data))


def test_the_models_own_traces_as_measurements_change_nothing():
    x = drive(60, 3, 7)
    model = aelif(x, **NUMBERS, outputs=ALL)
    again = aelif(x, **NUMBERS, outputs=ALL, measured_spikes=model.spikes[:50], measured_adaptation=model.adaptation)
    assert_same_bits(again, model)


@pytest.mark.parametrize(
    ("name", "flags"),
    [("measured_spikes", {"fire": False}), ("measured_adaptation", LIF)],
    ids=["spikes", "adaptation"],
)
def test_measurements_of_what_is_left_out_are_refused(name, flags):
    x = drive(5, 1, 2)
    with pytest.raises(RuntimeError, match=f"aelif: .* must be True where {name} (is|are) given, got False"):
        aelif(x, **flags, **{name: x})


# ---- gradients ---------------------------------------------------------------------------------------------------


def initial_state(batch, neurons, dtype, blocked=0, scale=0.3):
    state = torch.randn(4, batch, neurons, dtype=dtype) * scale
    state[2] = torch.randint(0, blocked + 1, (batch, neurons)).to(dtype)
    return state


def gradient_weights(x):
    weights = [torch.randn(x.shape, dtype=x.dtype) for _ in range(4)] + [torch.randn(4, *x.shape[1:], dtype=x.dtype)]
    weights[4][2] = 0.0  # the refractory counter has no gradient
    return weights


def run_backward(run, x, parameters, state, weights, flags, **data):
    """Gradients of a weighted sum of all outputs to input, state and all tensors among the parameters."""
    leaves = {"input": x} | {n: v for n, v in parameters.items() if isinstance(v, torch.Tensor)}
    leaves |= {} if state is None else {"state": state}
    leaves = {n: v.detach().clone().requires_grad_(n != "refractory_time") for n, v in leaves.items()}
    moved = {n: leaves.get(n, v) for n, v in parameters.items()}
    outputs = run(leaves["input"], moved, leaves.get("state"), **flags, **data)
    sum((output * weight).sum() for output, weight in zip(outputs, weights)).backward()
    zero = lambda leaf: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad  # noqa: E731
    return {n: zero(leaf) for n, leaf in leaves.items() if leaf.requires_grad}


def run_op(x, parameters, state, **options):
    return aelif(x, **parameters, initial_state=state, outputs=ALL, **options)


def run_eager(x, parameters, state, **options):
    return eager.aelif(x, parameters, state=state, **options)


def compare_gradients(x, parameters, state, flags, tolerance=1e-10, **data):
    weights = gradient_weights(x)
    actual = run_backward(run_op, x, parameters, state, weights, flags, **data)
    expected = run_backward(run_eager, x, parameters, state, weights, flags, **data)
    assert set(actual) == set(expected)
    for name, gradient in expected.items():
        if name == "state":
            assert actual[name][2].abs().sum() == 0.0
            actual[name], gradient = actual[name][[0, 1, 3]], gradient[[0, 1, 3]]
        assert gradient.isfinite().all(), name
        assert relative_error(actual[name], gradient) < tolerance, name


@pytest.mark.parametrize("flags", COMBINATIONS, ids=name_of)
@pytest.mark.parametrize("refractory_steps", [0, 2])
@pytest.mark.parametrize("per_neuron", [(), TRAINABLE], ids=["numbers", "tensors"])
def test_gradients_in_float64_are_those_of_the_eager_loop(per_neuron, refractory_steps, flags):
    x = drive_for(flags, 40, 3, 6)
    parameters = heterogeneous(per_neuron, 6, torch.float64) | {"refractory_time": refractory_steps * 1e-6}
    scale = 0.05 if flags["exponential"] and not flags["fire"] else 0.3
    compare_gradients(x, parameters, initial_state(3, 6, torch.float64, refractory_steps, scale), flags)


@pytest.mark.parametrize("flags", COMBINATIONS, ids=name_of)
def test_gradients_without_an_initial_state(flags):
    x = drive_for(flags, 30, 3, 6)
    compare_gradients(x, heterogeneous(TRAINABLE, 6, torch.float64), None, flags)


@pytest.mark.parametrize("steps", [40, 27])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("refractory_steps", [0, 2])
@pytest.mark.parametrize("per_neuron", [(), TRAINABLE], ids=["numbers", "tensors"])
def test_gradients_with_measured_data(per_neuron, refractory_steps, kind, steps):
    x = 0.2 * drive(40, 3, 6, torch.float64) - 0.2  # measured spikes do not stop the exponential
    p = heterogeneous(per_neuron, 6, torch.float64) | {"refractory_time": refractory_steps * 1e-6}
    data = measured(kind, x[:steps].shape, torch.float64, 2)
    compare_gradients(x, p, initial_state(3, 6, torch.float64, refractory_steps), FULL, **data)


@pytest.mark.parametrize("refractory_steps", [0, 3])
def test_gradients_in_float32_lie_near_the_float64_loop(refractory_steps):
    x = drive(120, 8, 20)
    parameters = heterogeneous(TRAINABLE, 20) | {"refractory_time": refractory_steps * 1e-6}
    state, weights = initial_state(8, 20, torch.float32), gradient_weights(x)
    # The float64 loop gets the spikes of the float32 run: a spike that differs would be another trajectory.
    spikes = aelif(x, **parameters, initial_state=state).spikes
    actual = run_backward(run_op, x, parameters, state, weights, FULL, measured_spikes=spikes)
    expected = run_backward(
        run_eager, x.double(), to_double(parameters), state.double(), [w.double() for w in weights], FULL,
        measured_spikes=spikes.double(),
    )  # fmt: skip
    for name, gradient in expected.items():
        if name == "state":
            actual[name], gradient = actual[name][[0, 1, 3]], gradient[[0, 1, 3]]
        assert relative_error(actual[name], gradient) < 2e-4, name


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradient_to_one_number(name):
    x = drive(30, 3, 4, torch.float64)
    weights = gradient_weights(x)
    gradients = []
    for run in (lambda p: aelif(x, **p, outputs=ALL), lambda p: eager.aelif(x, p)):
        parameter = torch.tensor(NUMBERS[name], dtype=torch.float64, requires_grad=True)
        loss = sum((o * w).sum() for o, w in zip(run(NUMBERS | {name: parameter}), weights))
        gradients += torch.autograd.grad(loss, parameter)
    assert relative_error(*gradients) < 1e-9


@pytest.mark.parametrize("outputs", ALL.split("+"))
def test_gradient_through_one_output_alone(outputs):
    x = drive(25, 2, 3, torch.float64)
    leaf, twin = x.clone().requires_grad_(), x.clone().requires_grad_()
    getattr(aelif(leaf, **NUMBERS, outputs=outputs), outputs).square().sum().backward()
    eager.aelif(twin, NUMBERS)[AELIFOutput._fields.index(outputs)].square().sum().backward()
    assert relative_error(leaf.grad, twin.grad) < 1e-10


def test_gradcheck_below_threshold():
    """Every parameter of the smooth part, in units in which all are of order one."""
    x = (torch.rand(6, 2, 3, dtype=torch.float64) * 0.1).requires_grad_()
    state = (torch.randn(3, 2, 3, dtype=torch.float64) * 0.1).requires_grad_()
    values = [(0.5 + torch.rand(3, dtype=torch.float64)).requires_grad_() for _ in range(9)]

    def run(x, state, leak, tau_mem, tau_syn, capacitance, slope, onset, strength, increment, tau_adap):
        full = torch.stack([state[0], state[1], torch.zeros(2, 3, dtype=torch.float64), state[2]])
        out = aelif(
            x, leak, 0.0, 1e9, tau_mem * 5e-6, tau_syn * 5e-6, capacitance * 5e-6, 0.0, slope, onset, strength,
            increment, tau_adap * 5e-6, outputs="membrane+current+adaptation", initial_state=full,
        )  # fmt: skip
        return out.membrane, out.current, out.adaptation, out.state[[0, 1, 3]]

    assert torch.autograd.gradcheck(run, (x, state, *values))


def test_gradient_flows_through_streamed_states():
    x = drive(24, 2, 3, torch.float64)
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    whole = aelif(leaves[0], **NUMBERS).spikes
    state, parts = None, []
    for chunk in leaves[1].split(5):
        out = aelif(chunk, **NUMBERS, initial_state=state)
        state = out.state
        parts.append(out.spikes)
    weights = torch.randn_like(whole)
    (whole * weights).sum().backward()
    (torch.cat(parts) * weights).sum().backward()
    assert relative_error(leaves[1].grad, leaves[0].grad) < 1e-12


def test_refractory_time_has_no_gradient():
    time = torch.full((2,), 1e-6, requires_grad=True)
    x = drive(5, 1, 2).requires_grad_()
    aelif(x, refractory_time=time).spikes.sum().backward()
    assert time.grad is None or time.grad.abs().sum() == 0.0


def test_backward_takes_traces_of_any_stride():
    numbers = [torch.tensor(v, dtype=torch.float64) for n, v in NUMBERS.items() if n != "refractory_time"]
    saved, grad = torch.randn(3, 2, 5).transpose(0, 2), torch.randn(5, 2, 3)
    blocked, table = (torch.rand(3, 2, 5) < 0.2).byte().transpose(0, 2), torch.rand(13, 1).expand(13, 3)
    rest = (None, None, None, 1e-6, *([True] * 5), "superspike", 50.0, [True] + [False] * 12)

    def backward(saved, blocked, table):
        tensors = (grad, None, None, None, None, saved, blocked, None, None, table)
        return torch.ops.gradspike._aelif_backward(*tensors, *numbers, *rest)[0]

    contiguous = backward(saved.contiguous(), blocked.contiguous(), table.contiguous())
    assert torch.equal(backward(saved, blocked, table), contiguous)


# ---- properties --------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 20),
    st.integers(0, 3),
    st.integers(0, 9),
    st.integers(0, 4),
    st.lists(st.sampled_from(TRAINABLE), unique=True),
    st.sampled_from(PLAIN),
    st.integers(0, 2**31),
)
def test_any_run_gives_the_bits_of_the_eager_loop(time, batch, neurons, refractory_steps, per_neuron, flags, seed):
    torch.manual_seed(seed)
    x = drive(time, batch, neurons)
    parameters = heterogeneous(per_neuron, neurons) | {"refractory_time": refractory_steps * 1e-6}
    assert_same_bits(aelif(x, **parameters, **flags, outputs=ALL), eager.aelif(x, parameters, **flags))


# ---- module ------------------------------------------------------------------------------------------------------


def test_module_is_the_function():
    x = drive(20, 2, 3)
    parameters = heterogeneous(("threshold", "tau_adap"), 3) | {"refractory_time": 1e-6}
    module = nn.AELIF(3, name="adaptive", **parameters)
    expected = aelif(x, **parameters, outputs=ALL)
    assert_same_bits(module.traces(x), expected)
    assert torch.equal(module(x), expected.spikes)
    assert_same_bits(torch.jit.script(module).traces(x), expected)
    state = None
    for t in range(20):
        spikes, state = module.step(x[t], state)
        assert torch.equal(spikes, expected.spikes[t])
    assert set(dict(module.named_buffers())) == {"threshold", "tau_adap"}
    assert "tau_adap=[3]" in repr(module) and "name=adaptive" in repr(module)


@pytest.mark.parametrize("flags", COMBINATIONS, ids=name_of)
def test_module_scripts_with_every_choice_of_terms(flags):
    x = drive(12, 2, 3) * (1.0 if flags["fire"] else 0.02)
    module = nn.AELIF(3, **flags)
    result = torch.jit.script(module)(x)
    out = aelif(x, **flags, outputs=ALL)
    assert torch.equal(result, out.spikes if flags["fire"] else out.membrane)
    assert torch.equal(module.step(x[0])[0], result[0])


def test_module_trains_its_parameters():
    module = nn.AELIF(3, tau_adap=torch.nn.Parameter(torch.full((3,), 50e-6)), exponential_slope=torch.tensor(0.1))
    module(drive(30, 2, 3)).sum().backward()
    assert module.tau_adap.grad.abs().sum() > 0


def test_the_defaults_of_module_and_function_are_the_same():
    x = drive(20, 2, 3)
    assert_same_bits(nn.AELIF(3).traces(x), aelif(x, outputs=ALL))


def test_with_leak_and_spikes_alone_a_network_is_that_of_lif():
    parameters = {"threshold": torch.rand(6) * 0.3 + 0.1, "tau_mem": torch.rand(6) * 1e-5 + 5e-6, "reset": -0.1}
    parameters["refractory_time"] = 2e-6
    synapse = nn.Synapse(4, 6, name="in", scale=16.0)
    model = torch.nn.Sequential(synapse, nn.AELIF(6, name="hidden", **parameters, **LIF))
    plain = torch.nn.Sequential(synapse, nn.LIF(6, name="hidden", **parameters))
    spikes = (torch.rand(30, 3, 4, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    description = chip.read(plain, spikes, network="net").description
    read = chip.read(model, spikes, network="net")
    assert read.description == description
    on_model, deployed = read.run_model(spikes), read.deploy()(spikes, membrane="*")
    assert torch.equal(deployed.outputs, model(spikes)) and model(spikes).sum() > 0
    assert torch.equal(deployed.membrane["hidden"], on_model.membrane["hidden"])


def test_host_code_may_use_every_trace_of_an_aelif_that_is_a_lif():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.synapse, self.neurons = nn.Synapse(4, 6, scale=16.0), nn.AELIF(6, threshold=0.2, **LIF)

        def forward(self, spikes: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            traces = self.neurons.traces(self.synapse(spikes))
            return traces.spikes + traces.membrane, traces.adaptation, traces.state

    model, spikes = Model(), (torch.rand(30, 3, 4, generator=torch.Generator().manual_seed(1)) < 0.4).float()
    network = chip.read(model)
    for result in (network.run_model(spikes), network.deploy()(spikes)):
        for got, expected in zip(result.outputs, model(spikes)):
            assert torch.equal(got, expected)


@pytest.mark.parametrize("flag", FLAGS)
def test_reading_a_network_refuses_other_terms_by_name(flag):
    model = torch.nn.Sequential(nn.Synapse(4, 3, name="in"), nn.AELIF(3, **{**LIF, flag: not LIF[flag]}))
    with pytest.raises(RuntimeError, match="gradspike::aelif .*cannot be read: .*leaky and fire are its only terms"):
        chip.read(model, torch.zeros(5, 1, 4))
