import numpy
import pytest
import torch

from gradspike.functional import LIFOutput, eventprop_graded_spikes, exact_eventprop_lif, li, lif
from neurons import NUMBERS, drive, heterogeneous, relative_error, to_double, to_numpy
from reference import exact_eventprop_lif as reference
from reference import spike_times

ALL = "spikes+membrane+current"
NAMES = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance")


def run(x, parameters, **options):
    return exact_eventprop_lif(x, torch.zeros_like(x), **parameters, **options)


def gradients(x, parameters, grad_spikes, **options):
    input, adjoint = x.clone().requires_grad_(), torch.zeros_like(x).requires_grad_()
    exact_eventprop_lif(input, adjoint, **parameters, **options).spikes.backward(grad_spikes)
    return input.grad, adjoint.grad


def assert_same_bits(result, expected):
    for name, actual, wanted in zip(LIFOutput._fields, result, expected):
        assert actual.dtype == wanted.dtype, name
        assert torch.equal(actual, wanted), name


def measured(kind, shape, dtype, steps):
    data = {
        "measured_spikes": ((torch.rand(steps, *shape[1:]) < 0.2) * torch.randint(1, 3, (steps, *shape[1:]))).to(dtype),
        "measured_membrane": torch.randn(steps, *shape[1:], dtype=dtype),
    }
    return {name: value for name, value in data.items() if kind in ("both", name.split("_")[1])}


# ---- forward: the bits of lif ------------------------------------------------------------------------------------


@pytest.mark.parametrize("refractory_steps", [0, 1, 3])
@pytest.mark.parametrize("per_neuron", [(), NAMES])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_of_lif(dtype, per_neuron, refractory_steps):
    x = drive(200, 9, 129, dtype)
    parameters = heterogeneous(per_neuron, 129, dtype) | {"refractory_time": refractory_steps * 1e-6}
    result = run(x, parameters, outputs=ALL)
    assert 0.01 < result.spikes.mean() < 0.5
    assert_same_bits(result, lif(x, **parameters, outputs=ALL))
    assert_same_bits(run(x.clone().requires_grad_(), parameters, outputs=ALL), result)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (0, 2, 3), (4, 0, 3), (4, 2, 0), (2, 1, 1025), (3, 7, 31)])
@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
def test_sizes(shape, refractory_time):
    x, parameters = drive(*shape), NUMBERS | {"refractory_time": refractory_time}
    assert_same_bits(run(x, parameters, outputs=ALL), lif(x, **parameters, outputs=ALL))


@pytest.mark.parametrize("steps", [0, 11, 40])
@pytest.mark.parametrize("kind", ["spikes", "membrane", "both"])
@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
def test_bits_of_lif_with_measured_data(refractory_time, kind, steps):
    x = drive(40, 3, 17)
    parameters, data = NUMBERS | {"refractory_time": refractory_time}, measured(kind, x.shape, x.dtype, steps)
    assert_same_bits(run(x, parameters, outputs=ALL, **data), lif(x, **parameters, outputs=ALL, **data))


@pytest.mark.parametrize("chunk", [1, 7])
def test_streaming_gives_the_bits_of_the_whole_run(chunk):
    x = drive(50, 3, 11)
    parameters = heterogeneous(("tau_mem", "threshold"), 11) | {"refractory_time": 3e-6}
    whole = run(x, parameters, outputs=ALL)
    state, parts = None, []
    for part in x.split(chunk):
        parts.append(run(part, parameters, outputs=ALL, initial_state=state))
        state = parts[-1].state
    joined = [torch.cat([getattr(part, name) for part in parts]) for name in ("spikes", "membrane", "current")]
    assert_same_bits((*joined, state), whole)


def test_values_are_those_of_the_reference():
    x, parameters = drive(40, 2, 5, torch.float64), NUMBERS | {"refractory_time": 2e-6}
    for actual, wanted in zip(run(x, parameters, outputs=ALL), reference.exact_eventprop_lif(x.numpy(), parameters)):
        torch.testing.assert_close(actual, torch.from_numpy(wanted), rtol=1e-12, atol=1e-12)


def test_values_of_the_adjoint_channel_are_not_read():
    x = drive(20, 2, 3)
    garbage = torch.full_like(x, float("nan"))
    assert_same_bits(exact_eventprop_lif(x, garbage, **NUMBERS, outputs=ALL), run(x, NUMBERS, outputs=ALL))


def test_only_the_spikes_carry_a_gradient():
    x = drive(20, 2, 3).requires_grad_()
    result = run(x, NUMBERS | {"leak": torch.zeros(3, requires_grad=True)}, outputs=ALL)
    assert [output.requires_grad for output in result] == [True, False, False, False]
    assert not run(x, NUMBERS, outputs="membrane").membrane.requires_grad
    state = torch.zeros(3, 2, 3, requires_grad=True)
    run(x, NUMBERS, initial_state=state).spikes.sum().backward()
    assert state.grad is None and x.grad.any()


# ---- gradients of the discrete scheme ----------------------------------------------------------------------------


@pytest.mark.parametrize("refractory_steps", [0, 1, 3])
@pytest.mark.parametrize("per_neuron", [(), NAMES])
@pytest.mark.parametrize("shape", [(60, 3, 6), (2, 1, 1), (1, 2, 3), (17, 1, 70), (0, 2, 3), (5, 0, 3)])
def test_gradients_in_float64(shape, per_neuron, refractory_steps):
    x = drive(*shape, torch.float64)
    parameters = heterogeneous(per_neuron, shape[2], torch.float64) | {"refractory_time": refractory_steps * 1e-6}
    grad = torch.randn(shape, dtype=torch.float64)
    state = None
    if refractory_steps == 0:
        state = torch.randn(3, *shape[1:], dtype=torch.float64) * 0.2
        state[2] = 0.0
    expected = reference.gradients(
        x.numpy(), to_numpy(parameters), grad.numpy(), state=None if state is None else state.numpy()
    )
    for actual, wanted in zip(gradients(x, parameters, grad, initial_state=state), expected):
        assert actual.shape == x.shape
        if x.numel():
            assert relative_error(actual, torch.from_numpy(wanted)) < 1e-10


@pytest.mark.parametrize("refractory_steps", [0, 3])
def test_gradients_in_float32_lie_near_those_in_float64(refractory_steps):
    x = drive(100, 4, 20)
    parameters = heterogeneous(NAMES, 20) | {"refractory_time": refractory_steps * 1e-6}
    grad = torch.randn(x.shape)
    # The float64 run gets the spikes of the float32 run: a spike that differs would be another trajectory.
    spikes = run(x, parameters).spikes
    same = torch.equal(run(x.double(), to_double(parameters)).spikes.float(), spikes)
    assert same, "choose another seed: a spike differs between the precisions"
    expected = gradients(x.double(), to_double(parameters), grad.double())
    for actual, wanted in zip(gradients(x, parameters, grad), expected):
        assert relative_error(actual, wanted) < 1e-3  # 1/a grows without bound near the threshold


def test_without_spikes_the_gradient_is_the_derivative_of_the_step():
    """A measured spike drives the adjoint once; before it, Li and Lv follow the linear step, which autograd knows."""
    x, at = drive(30, 2, 3, torch.float64) * 0.01, 25
    spikes = torch.zeros_like(x)
    spikes[at] = 1.0
    grad = torch.randn_like(x)
    to_input, to_adjoint = gradients(x, NUMBERS, grad, measured_spikes=spikes)
    leaf = x.clone().requires_grad_()
    smooth = lif(leaf, **(NUMBERS | {"threshold": 1e9}), outputs=ALL)
    g, k = NUMBERS["membrane_capacitance"] / NUMBERS["tau_mem"], 1e-6 / NUMBERS["membrane_capacitance"]
    slope = k * (smooth.current[at - 1] + g * (NUMBERS["leak"] - NUMBERS["threshold"]))
    (expected,) = torch.autograd.grad((smooth.membrane[at] * (grad[at] / slope).detach()).sum(), leaf)
    assert relative_error(to_input, expected) < 1e-12
    # One step earlier minus as it is, up to the order of dt: the adjoint channel is a difference in time.
    difference = expected[:-1] - expected[1:]
    assert relative_error(to_adjoint[1 : at - 1], difference[: at - 2]) < 0.35


def test_jumps_that_are_not_finite_count_as_zero():
    x = ((torch.rand(60, 2, 8) < 0.3) * 0.5).double()
    parameters = {"leak": 1.0, "reset": 0.5, "threshold": 1.0, "tau_mem": 1e-5, "tau_syn": 1e-6}
    data = {"measured_spikes": (torch.rand_like(x) < 0.2).double()}  # also where the current is 0: a = 0
    assert all(g.isfinite().all() for g in gradients(x, parameters, torch.randn_like(x), **data))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_not_finite_values_stay_with_their_neuron(value):
    x, grad = drive(20, 2, 3), torch.randn(20, 2, 3)
    clean = gradients(x, NUMBERS, grad)
    keep = torch.ones(2, 3, dtype=torch.bool)
    keep[1, 2] = False
    x[5, 1, 2] = value
    for actual, wanted in zip(gradients(x, NUMBERS, grad), clean):
        assert torch.equal(actual[:, keep], wanted[:, keep])


@pytest.mark.parametrize("refractory_time", [0.0, 2e-6])
def test_the_models_own_spikes_as_measured_spikes_change_nothing(refractory_time):
    x, parameters = drive(60, 3, 7), NUMBERS | {"refractory_time": refractory_time}
    spikes, grad = run(x, parameters).spikes, torch.randn(60, 3, 7)
    expected = gradients(x, parameters, grad)
    actual = gradients(x, parameters, grad, measured_spikes=spikes)
    assert all(torch.equal(a, e) for a, e in zip(actual, expected))


@pytest.mark.parametrize("threads", [2, 7])
def test_thread_counts(threads):
    x, grad, before = drive(30, 40, 150), torch.randn(30, 40, 150), torch.get_num_threads()
    parameters = heterogeneous(NAMES, 150) | {"refractory_time": 2e-6}

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
        run(drive(50, 4, 6).requires_grad_(), NUMBERS)
    assert sorted(packed) == [7, 50 * 4 * 6]


def test_non_contiguous_and_narrow():
    x, grad = drive(30, 6, 8), torch.randn(30, 6, 8)
    expected = gradients(x, NUMBERS, grad)
    view = x.transpose(0, 2).contiguous().transpose(0, 2)
    turned = grad.transpose(0, 2).contiguous().transpose(0, 2)
    assert all(torch.equal(a, e) for a, e in zip(gradients(view, NUMBERS, turned), expected))
    assert gradients(x.bfloat16(), NUMBERS, grad)[0].dtype == torch.bfloat16


# ---- gradients of spike times in continuous time -----------------------------------------------------------------

MICRO = 1e-6
END = 30.0  # in microseconds, as every time below
INPUTS = [[1.0, 9.0, 14.0], [3.0, 6.0], [2.0, 12.0, 20.0]]


class TwoLayers:
    """3 inputs, 4 hidden, 2 output neurons; the loss is a weighted sum of all spike times."""

    def __init__(self, refractory_time, seed):
        self.p = {
            "leak": 0.05, "reset": -0.1, "threshold": 1.0, "tau_mem": 10.0, "tau_syn": 6.0,
            "membrane_capacitance": 8.0, "refractory_time": refractory_time,
        }  # fmt: skip
        generator = numpy.random.default_rng(seed)
        self.weights = [generator.uniform(0.7, 1.6, (4, 3)), generator.uniform(0.6, 1.8, (2, 4))]
        self.weights[1][0, 1] *= -0.3
        self.times = self.spike_times(*self.weights)
        self.factors = [[generator.uniform(-1, 1, len(times)) for times in layer] for layer in self.times]

    def spike_times(self, first, second):
        hidden = spike_times.layer(INPUTS, first, self.p, END)
        return hidden, spike_times.layer(hidden, second, self.p, END)

    def loss(self, weights):
        total = 0.0
        for layer, own, factors in zip(self.spike_times(*weights), self.times, self.factors):
            for times, before, factor in zip(layer, own, factors):
                assert len(times) == len(before)
                total += float(numpy.dot(times, factor))
        return total

    def finite_differences(self, layer, step=1e-6):
        result = numpy.zeros_like(self.weights[layer])
        for index in numpy.ndindex(result.shape):
            losses = []
            for sign in (1, -1):
                changed = [weight.copy() for weight in self.weights]
                changed[layer][index] += sign * step
                losses.append(self.loss(changed))
            result[index] = (losses[0] - losses[1]) / (2 * step)
        return result

    def gradients(self, dt):
        """By the operators, in steps of dt."""
        spikes = torch.zeros(round(END / dt), 1, 3, dtype=torch.float64)
        for neuron, times in enumerate(INPUTS):
            spikes[[round(time / dt) for time in times], 0, neuron] = 1.0
        seconds = {n: v * MICRO if n.startswith(("tau", "mem", "refr")) else v for n, v in self.p.items()}
        weights = [torch.tensor(weight, requires_grad=True) for weight in self.weights]
        outputs = []
        for weight in weights:
            graded, adjoint = eventprop_graded_spikes(spikes, weight, rounding="none")
            spikes = exact_eventprop_lif(graded, adjoint, **seconds, dt=dt * MICRO).spikes
            outputs.append(spikes)
        torch.autograd.backward(outputs, [self.to_spikes(*pair, dt) for pair in zip(outputs, self.times, self.factors)])
        return [weight.grad.numpy() for weight in weights]

    @staticmethod
    def to_spikes(spikes, times, factors, dt):
        """Minus the derivative of the loss to the time of each spike, in steps."""
        grad = torch.zeros_like(spikes)
        for neuron, (expected, factor) in enumerate(zip(times, factors)):
            steps = spikes[:, 0, neuron].nonzero().flatten()
            assert len(steps) == len(expected)
            assert max(abs(steps.numpy() * dt - expected), default=0.0) < 20 * dt
            grad[steps, 0, neuron] = -dt * torch.from_numpy(factor)
        return grad


@pytest.mark.parametrize(("refractory_time", "seed"), [(0.0, 0), (0.0, 4), (0.0, 6), (2.0, 0), (2.0, 1), (2.0, 4)])
def test_gradients_converge_to_those_of_continuous_spike_times(refractory_time, seed):
    """First order in dt, in both layers: the second is the weight gradient, the first needs what is handed on."""
    network = TwoLayers(refractory_time, seed)
    assert sum(len(times) for times in network.times[0]) >= 6 and sum(len(times) for times in network.times[1]) >= 4
    for layer in range(2):
        expected = network.finite_differences(layer)
        errors = [
            numpy.abs(network.gradients(dt)[layer] - expected).max() / numpy.abs(expected).max()
            for dt in (0.02, 0.01, 0.0025)
        ]
        assert errors[2] < 0.01 and errors[2] < 0.5 * max(errors[:2])


def test_readout_by_a_leaky_integrator():
    """The recipe of eventprop_graded_spikes: what the loss gains where a spike comes one step earlier."""
    network, dt = TwoLayers(0.0, 0), 0.01
    spikes = torch.zeros(round(END / dt), 1, 4, dtype=torch.float64)
    for neuron, times in enumerate(network.times[0]):
        spikes[[round(time / dt) for time in times], 0, neuron] = 1.0
    spikes.requires_grad_()
    weight = torch.tensor(network.weights[1])
    graded, adjoint = eventprop_graded_spikes(spikes, weight, rounding="none")
    membrane = li(graded + torch.cat([adjoint.diff(dim=0), -adjoint[-1:]]), dt=dt * MICRO).membrane
    assert torch.equal(membrane, li(graded, dt=dt * MICRO).membrane)
    factors = torch.randn(membrane.shape[1:], dtype=torch.float64)
    (gradient,) = torch.autograd.grad((membrane[-1] * factors).sum(), spikes)
    for step, _, neuron in spikes.nonzero().tolist():
        moved = spikes.detach().clone()
        moved[step, 0, neuron], moved[step - 1, 0, neuron] = 0.0, 1.0
        gain = ((li(moved @ weight.T, dt=dt * MICRO).membrane - membrane)[-1] * factors).sum()
        torch.testing.assert_close(gradient[step, 0, neuron], gain.detach(), rtol=1e-9, atol=1e-12)
