"""Checks that several processes make together, under torchrun: each process runs all, in the same order.

    python -m torch.distributed.run --nproc-per-node 2 tests/python/distributed_checks.py results.json

The results file has a line of the first failure for each check that failed anywhere, and "" for the others.
"""

import copy
import datetime
import gc
import json
import os
import sys
import tempfile
import traceback
import warnings

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_module, distribute_tensor

import gradspike
from distributed_operators import OPERATORS
from gradspike import _sharding, chip, nn
from gradspike import functional as F
from gradspike.examples import yinyang_training as training

R, S = Replicate(), Shard
CHECKS = {}


def check(function):
    CHECKS[function.__name__] = function
    return function


def cases(table):
    """Registers one check per row: `name: arguments`."""

    def register(function):
        for name, arguments in table.items():
            CHECKS[f"{function.__name__}[{name}]"] = lambda arguments=arguments: function(*arguments)
        return function

    return register


def mesh():
    return init_device_mesh("cpu", (dist.get_world_size(),))


def raises(action, text):
    try:
        action()
    except Exception as error:
        assert text in str(error), str(error)
    else:
        raise AssertionError(f"no error: {text}")


# ---- DTensor -----------------------------------------------------------------------------------------------------

T, B, IN, N, OUT = 6, 6, 5, 8, 4
UNITS = {"dt": 1.0, "tau_syn": 2.0, "membrane_capacitance": 2.0}
"""Powers of two: with them, double precision holds every number of these networks exactly, gradients too."""


def tensors(batch=B, neurons=N, dtype=torch.float64):
    """Spikes, weight, leak and time constant per neuron, readout weight."""
    torch.manual_seed(3)
    spikes = (torch.rand(T, batch, IN) < 0.4).to(dtype)
    weight = torch.randint(-40, 60, (neurons, IN)).to(dtype) / 16
    leak = torch.randint(-4, 5, (neurons,)).to(dtype) / 16
    tau = 2.0 ** torch.randint(1, 3, (neurons,)).to(dtype)
    readout = torch.randint(-60, 61, (OUT, neurons)).to(dtype) / 32
    return [spikes, weight, leak, tau, readout]


def network(spikes, weight, leak, tau, readout, rule="clipped"):
    """Two layers."""
    input = F.graded_spikes(spikes, weight, 16.0, gradient=rule)
    hidden = F.lif(input, leak, 0.0, 1.0, tau, **UNITS, surrogate="box", alpha=1.0, outputs="spikes+membrane")
    output = F.graded_spikes(hidden.spikes, readout, 32.0, gradient=rule)
    membrane = F.li(output, 0.0, 4.0, **UNITS).membrane
    return hidden.spikes, hidden.membrane, membrane


def ramp(tensor):
    """Small whole numbers, as a gradient."""
    return (torch.arange(tensor.numel()) % 7 - 3).reshape(tensor.shape).to(tensor.dtype)


def run(values, function=network, place=lambda k, tensor: tensor, differentiable=None, **options):
    """Outputs and gradients; `differentiable` are positions, all by default."""
    wanted = range(len(values)) if differentiable is None else differentiable
    leaves = [place(k, tensor.clone()).requires_grad_(k in wanted) for k, tensor in enumerate(values)]
    outputs = function(*leaves, **options)
    outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    if wanted:
        sum((output * spread(output, ramp(output))).sum() for output in outputs if output.requires_grad).backward()
    return outputs, [leaves[k].grad for k in wanted]


def spread(like, tensor):
    """The tensor as `like` is laid out."""
    if not isinstance(like, DTensor):
        return tensor
    whole = distribute_tensor(tensor, like.device_mesh, [R] * like.device_mesh.ndim)
    return whole.redistribute(placements=[p if p.is_shard() else R for p in like.placements])


def whole(tensor):
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def assert_same(actual, expected):
    for k, (a, e) in enumerate(zip(actual, expected)):
        assert torch.equal(whole(a), e), f"{k}: {(whole(a) - e).abs().max()}"


PLACEMENTS = {
    # spikes, weight, leak, tau, readout; sizes
    "nothing": ([R, R, R, R, R],),
    "batch": ([S(1), R, R, R, R],),
    "neurons": ([R, S(0), S(0), S(0), S(0)],),
    "neurons with whole parameters": ([R, S(0), R, R, R],),
    "parameters alone": ([R, R, R, S(0), R],),
    "time": ([S(0), R, R, R, R],),
    "inputs": ([S(2), S(1), R, R, S(1)],),
    "batch before neurons": ([S(1), S(0), S(0), R, S(0)],),
    "uneven batch": ([S(1), R, R, R, R], {"batch": 7}),
    "uneven neurons": ([R, S(0), R, S(0), S(0)], {"neurons": 7}),
    "one sample": ([S(1), R, R, R, R], {"batch": 1}),
    "one neuron": ([R, S(0), S(0), R, R], {"neurons": 1}),
    "no sample": ([S(1), R, R, R, R], {"batch": 0}),
}


@cases(PLACEMENTS)
def exact(placements, sizes={}):  # noqa: B006
    """Where every sum is exact, all results and gradients are those of one process, bit for bit."""
    values = tensors(**sizes)
    over = mesh()
    expected = run(values)
    actual = run(values, place=lambda k, tensor: distribute_tensor(tensor, over, [placements[k]]))
    assert_same(actual[0], expected[0])
    assert_same(actual[1], expected[1])


@cases(PLACEMENTS)
def rounded(placements, sizes={}):  # noqa: B006
    """In float32 the forward pass has the bits of one process, the gradients an error of a few roundings."""
    values = [tensor * 0.9 if k else tensor for k, tensor in enumerate(tensors(dtype=torch.float32, **sizes))]
    over = mesh()
    expected = run(values)
    actual = run(values, place=lambda k, tensor: distribute_tensor(tensor, over, [placements[k]]))
    assert_same(actual[0], expected[0])
    for a, e in zip(actual[1], expected[1]):
        if e.numel() > 0:
            assert (whole(a) - e).abs().max() <= 1e-6 * max(1.0, float(e.abs().max()))


@check
def layouts():
    """What is split stays split; gradients that sum over it are partial sums."""
    over = mesh()
    for row, outputs, gradients in (
        ("batch", [S(1), S(1), S(1)], [S(1), Partial(), Partial(), Partial(), Partial()]),
        ("neurons", [S(2), S(2), S(2)], [Partial(), S(0), S(0), S(0), S(0)]),
        ("nothing", [R, R, R], [R, R, R, R, R]),
    ):
        placements = PLACEMENTS[row][0]
        results, grads = run(tensors(), place=lambda k, t, p=placements: distribute_tensor(t, over, [p[k]]))
        assert [r.placements[0] for r in results] == outputs, row
        assert [g.placements[0] for g in grads] == gradients, row


@check
def rows_have_the_bits_of_one_process_in_every_gradient_of_theirs():
    """Float32, weights of any value: a weight's gradient does not depend on which rows the process holds."""
    torch.manual_seed(5)
    values = [(torch.rand(30, 9, 17) < 0.3).float(), torch.randn(14, 17), 10e-6 * (0.75 + 0.5 * torch.rand(14))]

    def layer(spikes, weight, tau):
        return (F.lif(F.graded_spikes(spikes, weight, 24.0), tau_mem=tau).spikes,)

    expected = run(values, layer)
    actual = run(values, layer, lambda k, t: distribute_tensor(t, mesh(), [[R, S(0), S(0)][k]]))
    assert_same(actual[0], expected[0])
    assert_same(actual[1][1:], expected[1][1:])
    assert all(gradient.count_nonzero() > 0 for gradient in expected[1])


@check
def returning_takes_the_sign_of_the_whole_sum():
    values = tensors()
    values[1] *= 3.0  # many beyond the bounds
    values[0][:, ::2] = 0.0
    expected = run(values, rule="returning")
    actual = run(values, place=lambda k, t: distribute_tensor(t, mesh(), [S(1) if k == 0 else R]), rule="returning")
    assert_same(actual[0], expected[0])
    assert_same(actual[1], expected[1])
    assert actual[1][1].placements == (R,)


@check
def stacks_of_weights():
    torch.manual_seed(5)
    values = [torch.randint(0, 3, (4, T, B, IN)).double(), torch.randint(-40, 41, (4, N, IN)).double() / 16]

    def layer(spikes, weight):
        return (F.graded_spikes(spikes, weight, 16.0),)

    expected = run(values, layer)
    for placements in ([S(0), S(0)], [S(0), R], [S(2), R], [R, S(1)], [S(3), S(2)]):
        actual = run(values, layer, lambda k, t, p=placements: distribute_tensor(t, mesh(), [p[k]]))
        assert_same(actual[0], expected[0])
        assert_same(actual[1], expected[1])


@check
def float_weights():
    """`rounding="none"` is PyTorch's product."""
    values = tensors()

    def layer(spikes, weight, leak, tau, readout):
        return (F.graded_spikes(spikes, weight, 16.0, rounding="none") + (leak + tau + readout.sum()),)

    expected = run(values, layer)
    for placements in ([S(1), R], [R, S(0)], [S(2), S(1)]):
        place = [*placements, R, R, R]
        actual = run(values, layer, lambda k, t, p=place: distribute_tensor(t, mesh(), [p[k]]))
        assert_same(actual[0], expected[0])
        assert_same(actual[1], expected[1])


@cases({f"{name}, {dtype}": (name, dtype) for name in OPERATORS for dtype in ("float64", "float32")})
def operators(name, dtype):
    """Each dimension of each tensor is split alone: the forward pass has the bits of one process; so have gradients
    where no sum is rounded. The table says which of the dimensions stay split."""
    case = OPERATORS[name]
    torch.manual_seed(7)
    values = case.tensors(getattr(torch, dtype))
    expected = run(values, case.call, differentiable=case.differentiable)
    assert all(gradient.count_nonzero() > 0 for gradient in expected[1])
    for position, tensor in enumerate(values):
        for dim in range(tensor.dim()):
            where = [S(dim) if k == position else R for k in range(len(values))]
            place = lambda k, t, where=where: distribute_tensor(t, mesh(), [where[k]])  # noqa: E731
            outputs, gradients = run(values, case.call, place, case.differentiable)
            assert_same(outputs, expected[0])
            stays = case.split.get((position, dim))
            assert outputs[0].placements[0] == (R if stays is None else S(stays)), (position, dim)
            for k, a, e in zip(case.differentiable, gradients, expected[1]):
                if case.exact and dtype == "float64":
                    assert torch.equal(whole(a), e), (position, dim, k)
                error, bound = float((whole(a) - e).abs().max()), max(1.0, float(e.abs().max()))
                assert error <= (1e-13 if dtype == "float64" else 2e-6) * bound, (position, dim, k, error, bound)


@check
def scales_as_tensors():
    """Plain and distributed; the gradient of a scale sums over everything."""
    spikes, weight, *_ = tensors()
    values = [spikes, weight + 3 / 128, torch.tensor(16.0)]  # a share of an integer

    def layer(spikes, weight, scale):
        return (F.graded_spikes(spikes, weight, scale),)

    expected = run(values, layer)
    assert expected[1][2] != 0.0
    for placements in ([S(1), R], [R, S(0)], [S(2), S(1)]):
        for place in (lambda t: t, lambda t: distribute_tensor(t, mesh(), [R])):
            laid = [*(distribute_tensor(v, mesh(), [p]) for v, p in zip(values, placements)), place(values[2])]
            with torch.no_grad():
                assert_same(layer(*laid), expected[0])
            if isinstance(laid[2], DTensor):
                actual = run(values, layer, lambda k, t, laid=laid: laid[k].detach().clone())
                assert_same(actual[0], expected[0])
                assert_same(actual[1], expected[1])


@check
def streaming_and_measurements():
    """State and measured traces are laid out as the input, wherever they lie, with and without gradients."""
    torch.manual_seed(5)
    input = torch.randint(-3, 9, (T, B, N)).double() / 2
    state = torch.zeros(3, B, N, dtype=torch.float64)
    state[1] = torch.randint(0, 3, (B, N)) / 4
    state[2] = torch.randint(0, 2, (B, N))
    measured = (torch.rand(2, B, N) < 0.5).double()

    def both(input, state, measured):
        fired = F.lif(
            input, 0.0, 0.0, 1.0, 2.0, **UNITS, refractory_time=1.0, surrogate="box", alpha=1.0,
            outputs="current+spikes", initial_state=state, measured_spikes=measured,
        )  # fmt: skip
        trace = F.li(input, 0.0, 2.0, **UNITS, outputs="membrane+current", initial_state=state[:2])
        return fired.spikes, fired.current, fired.state, trace.membrane, trace.current, trace.state

    values = [input, state, measured]
    with torch.no_grad():
        expected = both(*values)
    for placements in ([S(1), R, R], [R, S(1), R], [S(2), S(1), S(0)], [R, R, S(2)], [S(2), S(2), S(2)]):
        with torch.no_grad():
            actual = both(*(distribute_tensor(v, mesh(), [p]) for v, p in zip(values, placements)))
        assert_same(actual, expected)
        wanted = run(values[:2], lambda i, s: both(i, s, measured))
        laid = [distribute_tensor(v, mesh(), [p]) for v, p in zip(values, placements)]
        found = run(values[:2], lambda i, s, m=laid[2]: both(i, s, m), lambda k, t, laid=laid: laid[k].detach().clone())
        assert_same(found[0], wanted[0])
        assert_same(found[1], wanted[1])


@check
def outputs_that_are_asked_for_may_change():
    input = distribute_tensor(torch.ones(T, B, N), mesh(), [S(1)])
    for outputs in ("spikes", "membrane", "spikes+current", "spikes"):
        plain = F.lif(torch.ones(T, B, N), outputs=outputs)
        assert_same(F.lif(input, outputs=outputs), plain)


@check
def numbers_and_zero_dim_parameters():
    values = [torch.randint(-3, 9, (T, B, N)).double() / 2, torch.tensor(2.0, dtype=torch.float64)]

    def layer(input, tau):
        return (F.lif(input, 0.0, 0.0, 1.0, tau, **UNITS, outputs="membrane", surrogate="box", alpha=1.0).membrane,)

    expected = run(values, layer)
    for p in (S(1), S(2)):
        actual = run(values, layer, lambda k, t, p=p: distribute_tensor(t, mesh(), [R if k else p]))
        assert_same(actual[0], expected[0])
        assert_same(actual[1], expected[1])
        assert actual[1][1].placements == (Partial(),)
        plain = run(values, layer, lambda k, t, p=p: t if k else distribute_tensor(t, mesh(), [p]))
        assert not isinstance(plain[1][1], DTensor)
        assert_same(plain[1], expected[1])


@check
def two_mesh_dimensions():
    """Batch over one, neurons over the other; with two processes the other has one."""
    ranks = dist.get_world_size()
    over = init_device_mesh("cpu", (2, ranks // 2) if ranks % 2 == 0 else (ranks, 1))
    values = tensors()
    expected = run(values)
    rows = [S(0)] * 4
    for first, second in (
        ([S(1), R, R, R, R], [R, *rows]),
        ([R, *rows], [S(1), R, R, R, R]),
        ([S(1), R, R, R, R],) * 2,
    ):
        actual = run(values, place=lambda k, t, a=first, b=second: distribute_tensor(t, over, [a[k], b[k]]))
        assert_same(actual[0], expected[0])
        assert_same(actual[1], expected[1])


@check
def two_mesh_dimensions_of_a_fused_layer():
    """Batch over one, neurons over the other."""
    ranks = dist.get_world_size()
    over = init_device_mesh("cpu", (2, ranks // 2) if ranks % 2 == 0 else (ranks, 1))
    case = OPERATORS["synapse_lif"]
    torch.manual_seed(7)
    values = case.tensors(torch.float64)
    expected = run(values, case.call, differentiable=case.differentiable)
    where = [[S(1), R], [R, S(0)], [R, S(0)]]
    actual = run(values, case.call, lambda k, t: distribute_tensor(t, over, where[k]), case.differentiable)
    assert_same(actual[0], expected[0])
    assert_same(actual[1], expected[1])
    assert actual[0][0].placements == (S(1), S(2))
    assert actual[1][1].placements == (Partial(), S(0))


FUSED = ("synapse_lif", "recurrent_lif", "aelif", "eventprop_layer", "sparse_graded_spikes", "pack_spikes")


@cases({name: (name,) for name in FUSED})
def operators_compiled_in_one_graph(name):
    torch._dynamo.reset()
    case = OPERATORS[name]
    torch.manual_seed(7)
    values = case.tensors(torch.float64)
    expected = run(values, case.call, differentiable=case.differentiable)
    compiled = torch.compile(case.call, backend="aot_eager", fullgraph=True)
    place = lambda k, t: distribute_tensor(t, mesh(), [R if k else S(1)])  # noqa: E731
    outputs, gradients = run(values, compiled, place, case.differentiable)
    assert_same(outputs, expected[0])
    for a, e in zip(gradients, expected[1]):
        assert (whole(a) - e).abs().max() <= 1e-13 * max(1.0, float(e.abs().max()))


@check
def every_operator_has_a_layout():
    names = {
        schema.name.split("::")[1] for schema in torch._C._jit_get_all_schemas() if schema.name[:10] == "gradspike:"
    }
    without = names - set(_sharding.LAYOUTS)
    assert without == {"_version_info"}, without


class EventPropLayer(torch.nn.Module):
    def __init__(self, neurons):
        super().__init__()
        self.synapse, self.neurons = nn.EventPropSynapse(IN, N, scale=16.0), neurons

    def forward(self, spikes):
        return self.neurons(*self.synapse(spikes))


LAYERS = {
    "AELIF": (lambda: nn.AELIF(IN),),
    "SynapseLIF": (lambda: nn.SynapseLIF(IN, N, scale=16.0),),
    "RecurrentLIF": (lambda: nn.RecurrentLIF(IN, N),),
    "SparseSynapse": (lambda: nn.SparseSynapse(torch.rand(IN, N) < 0.5, scale=16.0),),
    "EventProp": (lambda: EventPropLayer(nn.EventPropLIF(N)),),
    "ExactEventProp": (lambda: EventPropLayer(nn.ExactEventPropLIF(N)),),
}


@cases(LAYERS)
def layers(make):
    """Split in the batch: the bits of one process, and gradients up to rounding."""
    torch.manual_seed(7)
    model = make()
    spikes = (torch.rand(T, B, IN) < 0.4).float()
    spread_model = distribute_module(copy.deepcopy(model), mesh())
    batch = distribute_tensor(spikes, mesh(), [S(1)])
    output = spread_model(batch)
    assert output.placements == (S(1),)
    expected = model(spikes)
    assert torch.equal(whole(output), expected)
    if not expected.requires_grad:
        return
    for result in (output, expected):
        result.square().sum().backward()
    for a, e in zip(spread_model.parameters(), model.parameters()):
        assert e.grad.count_nonzero() > 0
        assert (whole(a.grad) - e.grad).abs().max() <= 2e-6 * max(1.0, float(e.grad.abs().max()))


@check
def compiled_in_one_graph():
    torch._dynamo.reset()
    values = tensors()
    expected = run(values)
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    for row in ("batch", "neurons"):
        placements = PLACEMENTS[row][0]
        actual = run(values, compiled, lambda k, t, p=placements: distribute_tensor(t, mesh(), [p[k]]))
        assert_same(actual[0], expected[0])
        assert_same(actual[1], expected[1])


def modules():
    torch.manual_seed(7)
    return torch.nn.Sequential(
        nn.Synapse(IN, N, name="hidden", scale=16.0),
        nn.LIF(N, name="hidden"),
        nn.Synapse(N, OUT, name="out"),
        nn.LI(OUT),
    )


def by_rows(path, module, over):
    for name, parameter in list(module.named_parameters(recurse=False)):
        laid = distribute_tensor(parameter.detach(), over, [S(0)])
        module.register_parameter(name, torch.nn.Parameter(laid))


@check
def modules_train():
    """Three steps of Adam with rows of the weights in each process."""
    model, spikes = modules(), tensors(dtype=torch.float32)[0]
    split = distribute_module(copy.deepcopy(model), mesh(), by_rows)
    batch = distribute_tensor(spikes, mesh(), [R])
    optimizers = [torch.optim.Adam(m.parameters(), lr=1e-2) for m in (model, split)]
    for _ in range(3):
        assert torch.equal(whole(split(batch)), model(spikes))
        for m, x, optimizer in zip((model, split), (spikes, batch), optimizers):
            optimizer.zero_grad()
            m(x).square().sum().backward()
            optimizer.step()
    for a, e in zip(split.parameters(), model.parameters()):
        assert (whole(a) - e).abs().max() <= 1e-6
    state = get_model_state_dict(split, options=StateDictOptions(full_state_dict=True))
    restored = modules()
    restored.load_state_dict(state)
    for name, integers in chip.read(restored).integers().items():
        assert torch.equal(integers, chip.read(model).integers()[name])


@check
def fully_sharded():
    """FSDP2 needs no rules: the modules see whole tensors."""
    from torch.distributed.fsdp import fully_shard

    model, spikes = modules(), tensors(batch=12, dtype=torch.float32)[0]
    share = slice(dist.get_rank(), None, dist.get_world_size())
    sharded = copy.deepcopy(model)
    for layer in (sharded[0], sharded[2], sharded):
        fully_shard(layer, mesh=mesh())
    output = sharded(spikes[:, share])
    assert torch.equal(output, model(spikes)[:, share])
    output.square().mean().backward()
    model(spikes).square().mean().backward()
    for a, e in zip(sharded.parameters(), model.parameters()):
        assert (whole(a.grad) - e.grad).abs().max() <= 1e-6 * e.grad.abs().max()
    state = get_model_state_dict(sharded, options=StateDictOptions(full_state_dict=True))
    restored = modules()
    restored.load_state_dict(state)
    assert torch.equal(restored(spikes), model(spikes))


@check
def refusals():
    over = mesh()
    spikes, weight, leak, *_ = tensors()
    spread_spikes, spread_weight = (distribute_tensor(t, over, [R]) for t in (spikes, weight))
    raises(
        lambda: F.graded_spikes(spikes, spread_weight),
        f"graded_spikes: spikes must be a DTensor, as weight is, got a plain tensor of shape [{T}, {B}, {IN}]",
    )
    input = distribute_tensor(torch.zeros(T, B, N, dtype=torch.float64), over, [S(1)])
    raises(lambda: F.lif(input, leak), "lif: leak must be a DTensor, as input is, got a plain tensor of shape [8]")
    raises(
        lambda: F.recurrent_lif(spread_spikes, spread_weight, torch.eye(N, dtype=torch.float64)),
        "recurrent_lif: recurrent_weight must be a DTensor, as spikes is, got a plain tensor of shape [8, 8]",
    )
    short = distribute_tensor(leak[:-1], over, [S(0)])
    raises(lambda: F.lif(input.redistribute(placements=[S(2)]), short), "lif: leak must have one value per neuron")
    raises(lambda: F.synapse_lif(spread_spikes[0], spread_weight), "synapse_lif: spikes must have 3 dimensions")
    other = distribute_tensor(weight, init_device_mesh("cpu", (1, dist.get_world_size())), [R, R])
    raises(lambda: F.graded_spikes(spread_spikes, other), "graded_spikes: all tensors must be on one device mesh")
    raises(lambda: F.graded_spikes(spread_spikes, distribute_tensor(weight.t().contiguous(), over, [R])), "in_features")
    split = distribute_module(modules(), over, by_rows)
    for refused in (chip.read, chip.deploy, lambda m: gradspike.save(m, "/nowhere/net.pt")):
        raises(lambda refused=refused: refused(split), "'0.weight' is divided among processes: load its full state")
    raises(lambda: gradspike.export(split, "/nowhere/net.pt2", example=spikes), "is divided among processes")


# ---- DistributedDataParallel ---------------------------------------------------------------------------------------


def ddp_step(wrap, rule="clipped"):
    """First step in all processes and in this one alone: `(output, gradients)` each, of this process' samples."""
    torch.manual_seed(1)
    plain = training.YinYangNetwork()
    plain.hidden_synapse.gradient = rule
    data = training.load_data(24, 1)
    share = slice(dist.get_rank(), None, dist.get_world_size())
    model = wrap(torch.nn.parallel.DistributedDataParallel(copy.deepcopy(plain)))
    results = []
    for network_, samples in ((model, share), (plain, slice(None))):
        output = network_(data.train_spikes[:, samples])
        training.loss_of(output, data.train_classes[samples]).backward()
        results.append((output, [p.grad for p in network_.parameters()]))
    (output, gradients), (expected, wanted) = results
    return (output, gradients), (expected[share], wanted)


@cases({"eager": (lambda model: model,), "compiled": (lambda model: torch.compile(model, backend="aot_eager"),)})
def data_parallel(wrap):
    torch._dynamo.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (output, gradients), (expected, wanted) = ddp_step(wrap)
    assert torch.equal(output, expected)
    for a, e in zip(gradients, wanted):
        assert (a - e).abs().max() <= 1e-6 * e.abs().max()
        everyone = [torch.empty_like(a) for _ in range(dist.get_world_size())]
        dist.all_gather(everyone, a)
        assert all(torch.equal(a, other) for other in everyone)


# ---- keys, files, chips ----------------------------------------------------------------------------------------------


def everyone(value):
    """The value of each process."""
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def folder():
    """A folder of all processes."""
    path = [tempfile.mkdtemp() if dist.get_rank() == 0 else None]
    dist.broadcast_object_list(path)
    return path[0]


@check
def each_process_has_its_registry():
    chip.clear()
    network = chip.read(modules(), network=f"of{dist.get_rank()}")
    registered = {key for keys in everyone(sorted(chip.registered())) for key in keys}
    own = json.dumps(chip.registered())
    assert f"of{dist.get_rank()}" in own, registered
    assert not any(f"of{rank}" in own for rank in range(dist.get_world_size()) if rank != dist.get_rank())
    assert not network.is_stale
    network = chip.read(modules(), network="same")
    descriptions = everyone((network.description, network.records()))
    assert all(description == descriptions[0] for description in descriptions)
    chip.clear()


@check
def saving_from_all_processes_to_one_path():
    """The file is always a whole one: of the process that wrote it last."""
    path = os.path.join(folder(), "net.pt")
    model = modules()
    for _ in range(5):
        gradspike.save(model, path)
        loaded = gradspike.load(path)
        assert torch.equal(loaded.state_dict()["0.weight"], model[0].weight)
    dist.barrier()
    assert everyone(sorted(os.listdir(os.path.dirname(path)))) == [["net.pt"]] * dist.get_world_size()


@check
def one_process_deploys():
    model, spikes = modules(), tensors(dtype=torch.float32)[0]
    deployed = gradspike.distributed.on_first_process(lambda: chip.deploy(model))
    assert (deployed is not None) == (dist.get_rank() == 0)
    if deployed is not None:
        assert torch.equal(deployed(spikes).spikes["hidden"], model[1](model[0](spikes)))


@check
def every_process_may_run_an_emulator_of_its_own():
    model, spikes = modules(), tensors(dtype=torch.float32)[0]
    result = chip.deploy(model, preset="calibrated", seed=3)(spikes)
    assert len({int(spikes_.sum()) for spikes_ in everyone(result.spikes["hidden"])}) == 1


@check
def a_failure_in_the_first_process_is_one_in_all():
    model = modules()
    torch.nn.init.constant_(model[0].weight, float("nan"))
    text = "NaN" if dist.get_rank() == 0 else "on_first_process: process 0 failed with RuntimeError: "
    raises(lambda: gradspike.distributed.on_first_process(lambda: chip.deploy(model)), text)
    assert gradspike.distributed.on_first_process(lambda: 3) == (3 if dist.get_rank() == 0 else None)


# ----------------------------------------------------------------------------------------------------------------------


def main(path):
    dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=60))
    torch.set_num_threads(1)
    gradspike.distributed.register_sharding()
    gradspike.distributed.register_sharding()
    results = {}
    for name, function in CHECKS.items():
        failure = ""
        try:
            function()
        except Exception:
            failure = f"process {dist.get_rank()}: {traceback.format_exc()}"
        results[name] = next((text for text in everyone(failure) if text), "")
    if dist.get_rank() == 0:
        with open(path, "w") as file:
            json.dump(results, file)
    gc.collect()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
