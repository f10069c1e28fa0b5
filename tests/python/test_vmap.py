"""torch.vmap: every operator has a rule that makes one call for all samples, with the results of a Python loop."""

import itertools

import pytest
import torch
from torch.func import functional_call, grad, jacrev, stack_module_state

import gradspike
from cases import CASES, DIFFERENTIABLE, outputs_of, spikes_like
from gradspike import _vmap
from gradspike import functional as F
from neurons import NUMBERS, TRAINABLE, drive, relative_error
from test_opcheck import Calls, detached, utilities_for

SAMPLES = 3
OPERATORS = {s.name.split("::")[1]: s for s in torch._C._jit_get_all_schemas() if s.name.startswith("gradspike::")}
# An operator that `torch.vmap` runs by PyTorch's own loop over the samples, with the reason.
WITHOUT_RULE = {"_version_info": "takes no tensor"}
# The library's float product, whose order depends on the number of rows.
FLOAT_PRODUCT = ("graded_spikes_float",)


@pytest.fixture(autouse=True)
def no_fallback():
    """The loop that PyTorch makes where an operator has no rule raises."""
    torch._C._functorch._set_vmap_fallback_enabled(False)
    yield
    torch._C._functorch._set_vmap_fallback_enabled(True)


def test_every_operator_has_a_rule():
    has_rule = torch._C._dispatch_has_kernel_for_dispatch_key
    names = [f"{s.name}.{s.overload_name}".rstrip(".") for s in torch._C._jit_get_all_schemas()]
    operators = [name for name in names if name.startswith("gradspike::")]
    without = {name.split("::")[1] for name in operators if not has_rule(name, "FuncTorchBatched")}
    assert "gradspike::graded_spikes.tensor_scale" in operators
    assert without == set(WITHOUT_RULE)


def samples_of(tensor, count):
    """`count` variants of a tensor, of the same sign and size."""
    return [tensor * (1.0 + 0.25 * k) if tensor.is_floating_point() else tensor for k in range(count)]


def stacked(tensors, dims):
    """Arguments for `torch.vmap` with `dims`, and those of each run of a loop."""
    variants = [
        samples_of(tensor, SAMPLES) if dim is not None else [tensor] * SAMPLES for tensor, dim in zip(tensors, dims)
    ]
    together = [v[0] if dim is None else torch.stack(v, dim) for v, dim in zip(variants, dims)]
    return together, list(zip(*variants))


def mappings(case):
    """Every choice of arguments to map; the dimension alternates between first, last and second."""
    tensors = case.arguments(requires_grad=False)
    for number, chosen in enumerate(itertools.product((False, True), repeat=len(tensors))):
        if any(chosen):
            yield tuple(
                ((0, -1, 1)[(number + k) % 3] if tensor.dim() > 0 else 0) if is_mapped else None
                for k, (tensor, is_mapped) in enumerate(zip(tensors, chosen))
            )


def of_all(cases):
    return [pytest.param(case, dims, id=f"{case.name}-{dims}") for case in cases for dims in mappings(case)]


def assert_same(case, actual, expected):
    if case.name in FLOAT_PRODUCT:
        torch.testing.assert_close(actual, expected)
    else:
        assert actual.dtype == expected.dtype and torch.equal(actual, expected)


@pytest.mark.parametrize(("case", "dims"), of_all(CASES))
def test_is_a_loop(case, dims):
    together, runs = stacked(case.arguments(requires_grad=False), dims)
    mapped = outputs_of(torch.vmap(case.call, dims)(*together))
    expected = [outputs_of(case.call(*run)) for run in runs]
    for position, output in enumerate(mapped):
        assert_same(case, output, torch.stack([outputs[position] for outputs in expected]))


@pytest.mark.parametrize(("case", "dims"), of_all(CASES))
def test_of_no_samples(case, dims):
    together, _ = stacked(case.arguments(requires_grad=False), dims)
    none = [t if dim is None else t.narrow(dim, 0, 0) for t, dim in zip(together, dims)]
    results = outputs_of(torch.vmap(case.call, in_dims=dims)(*none))
    some = outputs_of(torch.vmap(case.call, in_dims=dims)(*together))
    assert [tuple(r.shape) for r in results] == [(0, *r.shape[1:]) for r in some]
    assert [r.dtype for r in results] == [r.dtype for r in some]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nested(case):
    """Arguments mapped by the inner, the outer and by both."""
    tensors = case.arguments(requires_grad=False)
    inner = tuple(0 if k % 3 != 1 else None for k in range(len(tensors)))
    outer = tuple(0 if k % 3 != 2 or len(tensors) == 1 else None for k in range(len(tensors)))
    arguments = [torch.stack(samples_of(t, SAMPLES)) if d == 0 else t for t, d in zip(tensors, inner)]
    arguments = [torch.stack(samples_of(t, 2)) if d == 0 else t for t, d in zip(arguments, outer)]
    mapped = outputs_of(torch.vmap(torch.vmap(case.call, inner), outer)(*arguments))
    rows = []
    for a in range(2):
        sample = [t[a] if d == 0 else t for t, d in zip(arguments, outer)]
        rows += [case.call(*[t[b] if d == 0 else t for t, d in zip(sample, inner)]) for b in range(SAMPLES)]
    for position, output in enumerate(mapped):
        wanted = torch.stack([outputs_of(row)[position] for row in rows])
        assert_same(case, output, wanted.reshape(output.shape))


def loss_of(case):
    def loss(*tensors):
        total = 0.0
        for output in outputs_of(case.call(*tensors)):
            ramp = torch.linspace(-1.0, 1.0, output.numel(), dtype=output.dtype).reshape(output.shape)
            total = total + (output * ramp).sum()
        return total

    return loss


@pytest.mark.parametrize(("case", "dims"), of_all(DIFFERENTIABLE))
def test_gradients_of_samples(case, dims):
    """vmap(grad): also an argument that all samples share has a gradient for each."""
    together, runs = stacked(case.arguments(requires_grad=False), dims)
    gradient = grad(loss_of(case), argnums=case.differentiable)
    actual = torch.vmap(gradient, dims)(*together)
    expected = [gradient(*run) for run in runs]
    for position, samples in enumerate(actual):
        torch.testing.assert_close(samples, torch.stack([gradients[position] for gradients in expected]))


POSITIONS = [pytest.param(c, k, id=f"{c.name}-{k}") for c in DIFFERENTIABLE for k in c.differentiable]


@pytest.mark.parametrize(("case", "position"), POSITIONS)
def test_one_gradient_of_samples(case, position):
    """Each argument alone, as masks of the backward operators differ."""
    tensors = case.arguments(requires_grad=False)
    for dims in (tuple(0 for _ in tensors), tuple(None if k == position else 0 for k in range(len(tensors)))):
        if all(dim is None for dim in dims):
            continue
        together, runs = stacked(tensors, dims)
        gradient = grad(loss_of(case), argnums=position)
        expected = torch.stack([gradient(*run) for run in runs])
        torch.testing.assert_close(torch.vmap(gradient, dims)(*together), expected)


@pytest.mark.parametrize(("case", "dims"), of_all(DIFFERENTIABLE))
def test_gradient_of_all_samples_together(case, dims):
    """grad(vmap)."""
    together, runs = stacked(case.arguments(requires_grad=False), dims)

    def total(*tensors):
        return torch.vmap(loss_of(case), dims)(*tensors).sum()

    actual = grad(total, argnums=case.differentiable)(*together)
    single = [grad(loss_of(case), argnums=case.differentiable)(*run) for run in runs]
    for position, argument in enumerate(case.differentiable):
        gradients = [gradients[position] for gradients in single]
        dim = dims[argument]
        expected = sum(gradients) if dim is None else torch.stack(gradients, dim)
        torch.testing.assert_close(actual[position], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_jacrev(case):
    tensors = case.arguments(batch=1, requires_grad=False)
    argument = case.differentiable[-1]

    def run(tensor):
        return outputs_of(case.call(*tensors[:argument], tensor, *tensors[argument + 1 :]))

    actual = jacrev(run)(tensors[argument])
    expected = torch.autograd.functional.jacobian(run, tensors[argument])
    for a, e in zip(actual, expected):
        torch.testing.assert_close(a, e)


# ---- neurons -----------------------------------------------------------------------------------------------------

ALL = "spikes+membrane+current"


@pytest.mark.parametrize("neurons", [1, 4])
@pytest.mark.parametrize("shape", ["0-dim", "per neuron"])
@pytest.mark.parametrize("names", [(name,) for name in (*TRAINABLE, "refractory_time")] + [TRAINABLE])
def test_mapped_parameters(names, shape, neurons):
    x = drive(30, 2, neurons)
    size = (SAMPLES,) if shape == "0-dim" else (SAMPLES, neurons)
    mapped = {n: (NUMBERS[n] or 2e-6) * (0.8 + 0.4 * torch.rand(size)) for n in names}
    call = lambda **tensors: tuple(F.lif(x, **{**NUMBERS, **tensors}, outputs=ALL))  # noqa: E731
    actual = torch.vmap(lambda tensors: call(**tensors))(mapped)
    for k in range(SAMPLES):
        expected = call(**{name: tensor[k] for name, tensor in mapped.items()})
        for a, e in zip(actual, expected):
            assert torch.equal(a[k], e)


@pytest.mark.parametrize("neurons", [1, 3])
def test_mapped_and_shared_parameters_together(neurons):
    x, leak, thresholds = drive(20, 2, neurons), torch.rand(neurons) * 0.1, 0.5 + torch.rand(SAMPLES)
    call = lambda threshold: tuple(F.lif(x, leak, threshold=threshold, outputs=ALL))  # noqa: E731
    for k, actual in enumerate(zip(*torch.vmap(call)(thresholds))):
        assert all(torch.equal(a, e) for a, e in zip(actual, call(thresholds[k])))


NEURON_OPERATORS = [name for name, rule in _vmap.RULES.items() if rule is _vmap._neurons and name in OPERATORS]


@pytest.mark.parametrize("name", NEURON_OPERATORS)
def test_every_tensor_of_a_neuron_operator_has_a_kind(name):
    kinds = [_vmap._TRACES, _vmap.PARAMETERS, _vmap._TABLES, _vmap._WEIGHTS]
    schema = OPERATORS[name]
    tensors = [a.name for a in (*schema.arguments, *schema.returns) if "Tensor" in str(a.type)]
    assert len(tensors) > 4
    for argument in tensors:
        assert sum(_vmap.kind_of(argument) in kind for kind in kinds) == 1, argument


def test_a_number_that_is_mapped_is_a_tensor():
    """Its coefficients are those of a parameter per neuron, not rounded once from double."""
    x = drive(60, 2, 3)
    taus = torch.linspace(5e-6, 12e-6, SAMPLES, dtype=torch.float64)
    actual = torch.vmap(lambda tau: F.lif(x, tau_mem=tau, outputs=ALL).membrane)(taus)
    for k in range(SAMPLES):
        assert torch.equal(actual[k], F.lif(x, tau_mem=taus[k].expand(3), outputs=ALL).membrane)


def test_gradient_to_a_number_of_each_sample():
    x = drive(20, 2, 3, torch.float64).expand(SAMPLES, 20, 2, 3) * torch.linspace(1, 2, SAMPLES).reshape(-1, 1, 1, 1)
    tau = torch.tensor(8e-6, dtype=torch.float64)
    gradient = grad(lambda tau, x: F.li(x, tau_mem=tau, tau_syn=tau).membrane.square().sum())
    actual = torch.vmap(gradient, (None, 0))(tau, x)
    expected = torch.stack([gradient(tau, sample) for sample in x])
    assert actual.dtype == torch.float64 and actual.shape == (SAMPLES,)
    assert relative_error(actual, expected) < 1e-12


@pytest.mark.parametrize("mapped", ["input", "initial_state", "measured_spikes", "measured_membrane"])
@pytest.mark.parametrize("threshold", [1.0, torch.tensor([0.9, 1.0, 1.2, 0.7])])
def test_states_and_measurements(mapped, threshold):
    tensors = {
        "input": drive(20, 2, 4),
        "initial_state": torch.cat([torch.randn(2, 2, 4), torch.randint(0, 3, (1, 2, 4)).float()]),
        "measured_spikes": (torch.rand(7, 2, 4) < 0.3).float(),
        "measured_membrane": torch.randn(12, 2, 4),
    }
    value = tensors.pop(mapped)
    samples = torch.stack([value.roll(k, -1) for k in range(SAMPLES)], 2)
    call = lambda value: tuple(  # noqa: E731
        F.lif(**tensors, **{mapped: value}, threshold=threshold, refractory_time=2e-6, outputs=ALL)
    )
    actual = torch.vmap(call, 2)(samples)
    for k in range(SAMPLES):
        for a, e in zip(actual, call(samples.select(2, k))):
            assert torch.equal(a[k], e)


@pytest.mark.parametrize("outputs", ["", "spikes", "membrane+current"])
def test_outputs_that_are_not_asked_for(outputs):
    x = drive(5, 2, 3).expand(SAMPLES, 5, 2, 3)
    out = torch.vmap(lambda x: tuple(F.lif(x, outputs=outputs)))(x)
    for name, trace in zip(("spikes", "membrane", "current"), out):
        assert trace.shape == ((SAMPLES, 5, 2, 3) if name in outputs.split("+") else (SAMPLES, 0))


@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3), (4, 2, 0), (1, 1, 1)])
def test_empty_and_small(shape):
    x = torch.randn(SAMPLES, *shape)
    thresholds = torch.rand(SAMPLES)
    for dims in ((0, 0), (0, None)):
        threshold = thresholds if dims[1] == 0 else thresholds[0]
        actual = torch.vmap(lambda x, threshold: F.lif(x, threshold=threshold).spikes, dims)(x, threshold)
        expected = [F.lif(x[k], threshold=thresholds[k if dims[1] == 0 else 0]).spikes for k in range(SAMPLES)]
        assert torch.equal(actual, torch.stack(expected))


@pytest.mark.parametrize("leading", [(), (0,), (2,)])
@pytest.mark.parametrize("dims", [(0, None), (None, 0), (0, 0)])
def test_synapses_without_inputs(leading, dims):
    spikes, weight = torch.zeros(SAMPLES, *leading, 0), torch.zeros(SAMPLES, 4, 0)
    arguments = [tensor if dim == 0 else tensor[0] for tensor, dim in zip((spikes, weight), dims)]
    assert torch.equal(torch.vmap(F.graded_spikes, dims)(*arguments), torch.zeros(SAMPLES, *leading, 4))


def test_errors_are_those_of_a_sample():
    with pytest.raises(RuntimeError, match=r"spikes must equal in_features of weight, 4, got 5"):
        torch.vmap(F.graded_spikes)(torch.ones(3, 2, 5), torch.ones(3, 6, 4))
    with pytest.raises(RuntimeError, match=r"lif: leak must have one value per neuron"):
        torch.vmap(F.lif, (0, None))(torch.ones(3, 2, 1, 5), torch.ones(4))


# ---- weights of each sample ----------------------------------------------------------------------------------------

STACKS = [
    case for case in DIFFERENTIABLE if case.name.startswith(("recurrent", "synapse_lif", "sparse", "eventprop_syn"))
]


def every(case, count=SAMPLES):
    """All arguments of a case for each of several samples, in the first dimension."""
    return [torch.stack(samples_of(tensor, count)) for tensor in case.arguments(requires_grad=False)]


def assert_loop(case, actual, expected):
    """Bit for bit, but for the spikes' gradient through float weights, a product of PyTorch."""
    for position, (a, e) in enumerate(zip(actual, expected)):
        if position == 0 and case.name.endswith("float"):
            torch.testing.assert_close(a, e)
        else:
            assert torch.equal(a, e), position


@pytest.mark.parametrize("case", STACKS, ids=lambda case: case.name)
def test_gradients_have_the_bits_of_a_loop(case):
    gradient = grad(loss_of(case), argnums=case.differentiable)
    together = every(case)
    expected = [torch.stack(g) for g in zip(*(gradient(*run) for run in zip(*together)))]
    assert_loop(case, torch.vmap(gradient)(*together), expected)
    for chunk in (1, 2):
        assert_loop(case, torch.vmap(gradient, chunk_size=chunk)(*together), expected)
    last = tuple(-1 for _ in together)
    assert_loop(case, torch.vmap(gradient, last)(*(t.movedim(0, -1) for t in together)), expected)
    last = tuple(-1 for _ in expected)
    moved = torch.vmap(gradient, out_dims=last)(*together)
    assert_loop(case, [g.movedim(-1, 0) for g in moved], expected)


@pytest.mark.parametrize("case", STACKS, ids=lambda case: case.name)
def test_gradients_of_nested_samples(case):
    """A stack of stacks; the gradient between the two levels; a gradient of all samples of each outer one."""
    tensors = [torch.stack(samples_of(tensor, 2)) for tensor in every(case)]
    loss = loss_of(case)
    positions = case.differentiable
    gradient = grad(loss, argnums=positions)
    single = [[gradient(*(t[a, b] for t in tensors)) for b in range(SAMPLES)] for a in range(2)]
    expected = [torch.stack([torch.stack([s[k] for s in row]) for row in single]) for k in range(len(positions))]
    assert_loop(case, torch.vmap(torch.vmap(gradient))(*tensors), expected)
    together = torch.vmap(grad(lambda *t: torch.vmap(loss)(*t).sum(), argnums=positions))(*tensors)
    assert_loop(case, together, expected)
    leaves = [t.clone().requires_grad_(k in positions) for k, t in enumerate(tensors)]
    torch.vmap(torch.vmap(loss))(*leaves).sum().backward()
    assert_loop(case, [leaves[k].grad for k in positions], expected)


@pytest.mark.parametrize("case", STACKS, ids=lambda case: case.name)
def test_gradients_of_no_sample(case):
    tensors = [t.narrow(0, 0, 0) for t in every(case)]
    gradient = grad(lambda *t: outputs_of(case.call(*t))[0].square().sum(), argnums=case.differentiable)
    for position, actual in zip(case.differentiable, torch.vmap(gradient)(*tensors)):
        assert actual.shape == tensors[position].shape


@pytest.mark.parametrize("case", STACKS, ids=lambda case: case.name)
def test_opcheck_of_stacks(case):
    """What the rules call: also the shapes that the Meta kernels say, and compiled."""
    with Calls() as calls:
        torch.vmap(grad(loss_of(case), argnums=case.differentiable))(*every(case))
    assert len(calls.seen) == 2
    for func, args, kwargs in calls.seen:
        arguments = (tuple(detached(a) for a in args), {k: detached(v) for k, v in kwargs.items()})
        torch.library.opcheck(func, *arguments, test_utils=utilities_for(func, arguments))


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("case", STACKS, ids=lambda case: case.name)
def test_compiled_stacks(case, dynamic):
    together = every(case)
    run = lambda *tensors: torch.vmap(grad(loss_of(case), argnums=case.differentiable))(*tensors)  # noqa: E731
    torch._dynamo.reset()
    compiled = torch.compile(run, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    assert_loop(case, compiled(*together), run(*together))


@pytest.mark.parametrize("shared", ["weight", "spikes"])
@pytest.mark.parametrize("shape", [(0, 2, 5), (4, 0, 5), (4, 2, 0), (1, 1, 1)])
def test_small_stacks(shape, shared):
    spikes, weight = spikes_like(SAMPLES, *shape), torch.randn(SAMPLES, 3, shape[-1])
    recurrent = torch.randn(SAMPLES, 3, 3)
    dims = {"weight": (0, None, None), "spikes": (None, 0, 0)}[shared]
    arguments = [t if dim == 0 else t[0] for t, dim in zip((spikes, weight, recurrent), dims)]

    def run(spikes, weight, recurrent):
        loop = F.recurrent_lif(spikes, weight, recurrent, input_scale=20.0, outputs="spikes+membrane")
        line = F.synapse_lif(spikes, weight, scale=20.0, rounding="none", recompute_every=2)
        return (
            loop.spikes,
            loop.membrane,
            loop.state,
            line.spikes,
            line.state,
            F.eventprop_graded_spikes(spikes, weight)[0],
        )

    def loss(*tensors):
        return sum(output.square().sum() for output in run(*tensors))

    gradient = grad(loss, (0, 1, 2))
    for function in (run, gradient):
        actual = torch.vmap(function, dims)(*arguments)
        runs = [function(*(t if d is None else t[k] for t, d in zip(arguments, dims))) for k in range(SAMPLES)]
        for a, e in zip(actual, zip(*runs)):
            torch.testing.assert_close(a, torch.stack(e), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("leading", [(3,), (1, 3), (2, 4)])
def test_stacks_are_checked(leading):
    weight, numbers = torch.ones(2, 3, 4, 5), [torch.ones(2, 3)] * 7
    rest = (1.0, -63.0, 63.0, "half_even", "clipped", "model", 1e-6, "superspike", 50.0, "spikes", "float", False)
    forward = torch.ops.gradspike._synapse_lif_forward
    with pytest.raises(RuntimeError, match=r"leading dimensions of the stack of weights, \[2, 3\], got"):
        forward(torch.ones(*leading, 6, 2, 5), weight, *numbers, *rest, None, None, None, 0, False)
    with pytest.raises(RuntimeError, match=r"a stack of weights must not be empty, got \[2, 0, 4, 5\]"):
        forward(torch.ones(2, 0, 6, 2, 5), weight[:, :0], *numbers, *rest, None, None, None, 0, False)
    with pytest.raises(RuntimeError, match="synapse_lif: weight must have 2 dimensions"):
        torch.ops.gradspike.synapse_lif(torch.ones(2, 3, 6, 2, 5), weight, *numbers)


# ---- networks ----------------------------------------------------------------------------------------------------


def network():
    return torch.nn.Sequential(
        gradspike.nn.Synapse(12, 8), gradspike.nn.LIF(8), gradspike.nn.Synapse(8, 3), gradspike.nn.LI(3)
    )


def test_an_ensemble_of_networks():
    """vmap(grad) over the stacked weights of several networks."""
    models = [network() for _ in range(SAMPLES)]
    parameters, buffers = stack_module_state(models)
    spikes = (torch.rand(15, 4, 12) < 0.3).float()

    def loss(parameters, buffers, spikes):
        return functional_call(models[0], (parameters, buffers), (spikes,)).square().mean()

    gradients, values = torch.vmap(torch.func.grad_and_value(loss), (0, 0, None))(parameters, buffers, spikes)
    for k, model in enumerate(models):
        value = model(spikes).square().mean()
        torch.testing.assert_close(values[k], value.detach())
        value.backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(gradients[name][k], parameter.grad)


def test_gradients_of_samples_of_a_network():
    model = network()
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    spikes = (torch.rand(15, 4, 12) < 0.3).float()

    def loss(parameters, sample):
        return functional_call(model, parameters, (sample[:, None],)).square().mean()

    gradients = torch.vmap(grad(loss), (None, 1))(parameters, spikes)
    for k in range(4):
        for name, expected in grad(loss)(parameters, spikes[:, k]).items():
            torch.testing.assert_close(gradients[name][k], expected)


def drawn(*shape):
    return torch.nn.Parameter(torch.rand(*shape) * 0.2 + 0.9)


def first_calls():
    """Each module as it was constructed, and its input."""
    x, current, pair = spikes_like(6, 2, 5), torch.randn(6, 2, 5), (torch.randn(6, 2, 5), torch.randn(6, 2, 5))
    dense, nn = torch.ones(4, 5), gradspike.nn
    scale = lambda: torch.nn.Parameter(torch.tensor(16.0))  # noqa: E731
    return {
        "Synapse": (nn.Synapse(5, 4), (x,)),
        "Synapse-scale": (nn.Synapse(5, 4, scale=scale()), (x,)),
        "Synapse-mask": (nn.Synapse(5, 4, mask=dense > 0), (x,)),
        "Synapse-transform": (nn.Synapse(5, 4, transform=torch.tanh), (x,)),
        "EventPropSynapse": (nn.EventPropSynapse(5, 4), (x,)),
        "EventPropSynapse-scale": (nn.EventPropSynapse(5, 4, scale=scale()), (x,)),
        "SparseSynapse": (nn.SparseSynapse(dense), (x,)),
        "PrepackedSynapse": (nn.Synapse(5, 4).prepacked(), (x,)),
        "SynapseLIF": (nn.SynapseLIF(5, 4, threshold=drawn(4)), (x,)),
        "RecurrentLIF": (nn.RecurrentLIF(5, 4), (x,)),
        "LIF": (nn.LIF(5, threshold=drawn(5)), (current,)),
        "LI": (nn.LI(5, leak=drawn(5)), (current,)),
        "AELIF": (nn.AELIF(5, threshold=drawn(5)), (current,)),
        "EventPropLIF": (nn.EventPropLIF(5), pair),
        "ExactEventPropLIF": (nn.ExactEventPropLIF(5), pair),
        "BatchDropout": (nn.BatchDropout(5).eval(), (x,)),
    }


FIRST_CALLS = tuple(first_calls())


def test_every_module_has_a_first_call():
    # Not layers: a rule of the chip, and a wrapper that collects what a model gave.
    modules = set(gradspike.nn.__all__) - {"PlasticityRule", "Recorder", "default_scale"}
    assert {name.split("-")[0] for name in FIRST_CALLS} == modules


def total_of(outputs):
    outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    return sum(output.square().sum() for output in outputs if output is not None)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("transform", ["vmap", "vmap of inputs", "vmap(grad)", "grad", "grad of inputs", "grad(vmap)"])
@pytest.mark.parametrize("name", FIRST_CALLS)
def test_first_call_of_a_module(name, transform):
    """Nothing that a module does once, when it first runs, reads numbers that a transform hides."""
    module, inputs = first_calls()[name]
    parameters = {n: p.detach().clone() for n, p in module.named_parameters()}
    loss = lambda parameters, *inputs: total_of(functional_call(module, parameters, inputs))  # noqa: E731
    parameters_only = (0, *(None for _ in inputs))
    inputs_only = (None, *(0 for _ in inputs))
    stack = {n: torch.stack(samples_of(p, SAMPLES)) for n, p in parameters.items()}
    batch = [torch.stack([x.roll(k, 0) for k in range(SAMPLES)]) for x in inputs]
    if not parameters and transform not in ("vmap of inputs", "grad of inputs"):
        pytest.skip("no parameters")
    if name == "PrepackedSynapse" and "grad" in transform:
        pytest.skip("has no gradient")
    each = lambda function: [  # noqa: E731
        function({n: p[k] for n, p in stack.items()}, *inputs) for k in range(SAMPLES)
    ]
    if transform == "vmap":
        actual = torch.vmap(loss, parameters_only)(stack, *inputs)
        expected = torch.stack(each(loss))
    elif transform == "vmap of inputs":
        actual = torch.vmap(loss, inputs_only)(parameters, *batch)
        expected = torch.stack([loss(parameters, *(x[k] for x in batch)) for k in range(SAMPLES)])
    elif transform == "vmap(grad)":
        actual = torch.vmap(grad(loss), parameters_only)(stack, *inputs)
        runs = each(grad(loss))
        expected = {n: torch.stack([run[n] for run in runs]) for n in stack}
    elif transform == "grad(vmap)":
        actual = grad(lambda stack: torch.vmap(loss, parameters_only)(stack, *inputs).sum())(stack)
        runs = each(grad(loss))
        expected = {n: torch.stack([run[n] for run in runs]) for n in stack}
    else:
        argument = 0 if transform == "grad" else 1
        actual = grad(loss, argument)(parameters, *inputs)
        leaves = {n: p.clone().requires_grad_() for n, p in parameters.items()}
        x = inputs[0].clone().requires_grad_()
        expected = loss(leaves, x, *inputs[1:])
        expected = torch.autograd.grad(expected, list(leaves.values()) if argument == 0 else x, allow_unused=True)
        expected = dict(zip(leaves, expected)) if argument == 0 else expected[0]
        if argument == 1 and expected is None:
            expected = torch.zeros_like(x)
    torch.testing.assert_close(actual, expected)


def test_weights_are_checked_by_the_first_call_outside():
    module = gradspike.nn.Synapse(5, 4)
    with torch.no_grad():
        module.weight.mul_(1e-6)
    x = spikes_like(SAMPLES, 6, 2, 5)
    torch.vmap(module)(x)
    with pytest.warns(UserWarning, match="all weights round to zero"):
        module(x[0])


def layer(spikes, weight):
    return F.lif(F.graded_spikes(spikes, weight, 64.0)).spikes


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("function", [layer, grad(lambda *tensors: layer(*tensors).square().sum(), (0, 1))])
def test_compiled(function, dynamic):
    spikes, weight = (torch.rand(SAMPLES, 6, 2, 5) < 0.4).float(), torch.randn(SAMPLES, 4, 5)
    run = lambda *tensors: torch.vmap(function)(*tensors)  # noqa: E731
    torch._dynamo.reset()
    compiled = torch.compile(run, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    for actual, expected in zip(outputs_of(compiled(spikes, weight)), outputs_of(run(spikes, weight))):
        assert torch.equal(actual, expected)


def test_scripted_and_in_autocast():
    spikes, weight = (torch.rand(SAMPLES, 6, 2, 5) < 0.4).float(), torch.randn(SAMPLES, 4, 5)
    expected = torch.stack([layer(s, w) for s, w in zip(spikes, weight)])
    assert torch.equal(torch.vmap(torch.jit.script(layer))(spikes, weight), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(torch.vmap(layer)(spikes, weight), expected)


# Cases whose rules loop: reports and conversions, and what prepack made.
LOOPS = ("weight_statistics", "connections", "pack_spikes", "spikes_to_events", "events_to_spikes", "prepack")
LOOPS += ("hardware_weights_with_statistics",)
# Two operators, or packing before the call that is mapped.
SEVERAL_CALLS = ("eventprop_layer", "prepacked_graded_spikes")


@pytest.mark.parametrize(
    ("case", "dims"), of_all([case for case in CASES if case.name not in (*LOOPS, *SEVERAL_CALLS)])
)
def test_one_call_for_all_samples(case, dims):
    together, _ = stacked(case.arguments(requires_grad=False), dims)
    with Calls() as calls:
        torch.vmap(case.call, dims)(*together)
    assert len(calls.seen) == 1
    if case.differentiable:
        with Calls() as calls:
            torch.vmap(grad(loss_of(case), argnums=case.differentiable), dims)(*together)
        assert len(calls.seen) == 2  # forward and backward
