"""The CUDA operators give the bits of the CPU operators, never wait for the device, and can be captured."""

import contextlib
import shutil
import warnings

import pytest
import torch

import gradspike
from cases import CASES, DIFFERENTIABLE, gradients_of, outputs_of
from gradspike import functional as F
from gradspike import nn

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU in this machine"),
    pytest.mark.skipif(
        gradspike.version_info().cuda != "loaded", reason=f"the CUDA library is {gradspike.version_info().cuda}"
    ),
]

# Sums over time and batch, and dense float products, are deterministic per device but not the same bits on both.
SUMS = {
    "eventprop_layer",
    "eventprop_synapse",
    "graded_spikes",
    "graded_spikes_float",
    "graded_spikes_stack",
    "li_tensors",
    "lif_tensors",
    "recurrent_numbers",
    "recurrent_tensors",
    "sparse_graded_spikes",
    "sparse_graded_spikes_float",
    "synapse_lif_numbers",
    "synapse_lif_tensors",
}


@contextlib.contextmanager
def without_synchronisation():
    """An operation that waits for the device is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Synchronization debug mode is a prototype feature")
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")


def on_gpu(tensors):
    return tuple(tensor.detach().cuda().requires_grad_(tensor.requires_grad) for tensor in tensors)


def weighted(outputs):
    """A fixed linear functional of the differentiable outputs, on their device."""
    return sum(
        (o * torch.linspace(-1.0, 1.0, o.numel(), dtype=o.dtype, device=o.device).reshape(o.shape)).sum()
        for o in outputs
        if o.requires_grad
    )


def step(case, tensors):
    """Outputs, and gradients to all tensors that ask for one."""
    outputs = outputs_of(case.call(*tensors))
    wanted = [tensor for tensor in tensors if tensor.requires_grad]
    return [o.detach() for o in outputs] + list(torch.autograd.grad(weighted(outputs), wanted))


def fresh_values(tensors, seed):
    """Other values of the same kind: the batch entries in another order, so that spikes stay spikes."""
    generator = torch.Generator().manual_seed(seed)
    result = []
    for tensor in tensors:
        batched = 1 if tensor.dim() >= 3 else 0
        order = torch.randperm(tensor.shape[batched], generator=generator) if tensor.dim() > 0 else None
        values = tensor.detach().cpu()
        result.append((values if order is None else values.index_select(batched, order)).to(tensor.device))
    return result


def assert_same(actual, expected, exact):
    for a, e in zip(actual, expected):
        assert a.dtype == e.dtype
        if exact:
            assert torch.equal(a.cpu(), e)
        else:
            torch.testing.assert_close(a.cpu(), e, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_forward(case):
    tensors = case.arguments(batch=37, requires_grad=False)
    exact = case.name not in ("graded_spikes_float", "sparse_graded_spikes_float")
    assert_same(outputs_of(case.call(*on_gpu(tensors))), outputs_of(case.call(*tensors)), exact)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_backward(case):
    tensors = case.arguments(batch=37)
    moved = on_gpu(tensors)
    expected = gradients_of(case.call(*tensors), tensors)
    loss = weighted(outputs_of(case.call(*moved)))
    actual = torch.autograd.grad(loss, [tensor for tensor in moved if tensor.requires_grad])
    assert_same(actual, expected, case.name not in SUMS)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_samples_are_those_of_a_loop(case):
    """vmap(grad), each sample with arguments of its own."""
    single = on_gpu(case.arguments(requires_grad=False))
    together = [torch.stack([t, t * 1.25]) if t.is_floating_point() else torch.stack([t, t]) for t in single]
    gradient = torch.func.grad(
        lambda *t: sum(o.square().sum() for o in outputs_of(case.call(*t)) if o.is_floating_point()),
        argnums=case.differentiable,
    )
    expected = [torch.stack(g) for g in zip(*(gradient(*run) for run in zip(*together)))]
    for actual, wanted in zip(torch.vmap(gradient)(*together), expected):
        torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_twenty_repetitions_on_several_streams_give_the_same_bits(case):
    moved = on_gpu(case.arguments(batch=37))
    first = step(case, moved)
    other = torch.randn(2048, 2048, device="cuda")
    torch.cuda.synchronize()
    for repetition in range(20):
        stream = torch.cuda.Stream() if repetition % 2 else torch.cuda.current_stream()
        busy = torch.cuda.Stream()
        with torch.cuda.stream(busy):  # other work on the device at the same time
            other @ other
        with torch.cuda.stream(stream):
            again = step(case, moved)
        torch.cuda.synchronize()
        assert all(torch.equal(a, b) for a, b in zip(again, first)), f"repetition {repetition}"


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_graph_capture_of_forward_and_backward(case):
    static = on_gpu(case.arguments(batch=37))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step(case, static)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step(case, static)
    for seed in range(5):
        fresh = fresh_values(static, seed)
        with torch.no_grad():
            for target, source in zip(static, fresh):
                target.copy_(source)
        graph.replay()
        moved = tuple(f.requires_grad_(s.requires_grad) for f, s in zip(fresh, static))
        assert all(torch.equal(a, b) for a, b in zip(captured, step(case, moved))), f"replay {seed}"


@pytest.mark.parametrize("case", [c for c in CASES if c.name != "connections"], ids=lambda case: case.name)
def test_does_not_wait_for_the_device(case):
    moved = on_gpu(case.arguments())
    torch.cuda.synchronize()
    with without_synchronisation():
        outputs = [output for output in outputs_of(case.call(*moved)) if output.requires_grad]
        if outputs:
            torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])


def test_synapse_does_not_wait_for_the_device_at_its_first_call():
    synapse = nn.Synapse(5, 7, device="cuda")
    spikes = torch.ones(3, 2, 5, device="cuda")
    with without_synchronisation():
        synapse(spikes)


def test_graph_capture():
    model = torch.nn.Sequential(nn.Synapse(5, 40), nn.LIF(40, refractory_time=2e-6), nn.Synapse(40, 3), nn.LI(3)).cuda()
    static = (torch.rand(30, 4, 5, device="cuda") < 0.3).float()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(stream):
        for _ in range(3):
            model(static)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        captured = model(static)
    for _ in range(3):
        fresh = (torch.rand(30, 4, 5, device="cuda") < 0.3).float()
        static.copy_(fresh)
        graph.replay()
        assert torch.equal(captured, model(fresh))


def test_graph_capture_of_a_training_step():
    """Ten steps of gradient descent in a graph leave the weights that ten eager steps leave."""

    def make():
        torch.manual_seed(3)
        return torch.nn.Sequential(nn.Synapse(5, 40), nn.LIF(40), nn.Synapse(40, 3), nn.LI(3)).cuda()

    def train_step(model, spikes):
        loss = model(spikes).square().mean()
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients):
                parameter.sub_(0.1 * gradient)
        return loss.detach()

    batches = [(torch.rand(30, 4, 5, device="cuda") < 0.3).float() for _ in range(10)]
    static = batches[0].clone()
    captured, eager = make(), make()
    start = [parameter.detach().clone() for parameter in captured.parameters()]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            train_step(captured, static)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = train_step(captured, static)
    with torch.no_grad():
        for parameter, value in zip(captured.parameters(), start):
            parameter.copy_(value)
    for batch in batches:
        static.copy_(batch)
        graph.replay()
        assert torch.equal(loss, train_step(eager, batch))
    assert all(torch.equal(a, b) for a, b in zip(captured.parameters(), eager.parameters()))


def test_connections_refuses_nan():
    weight = torch.ones(3, 4, device="cuda")
    weight[1, 2] = float("nan")
    with pytest.raises(RuntimeError, match=r"connections: weight must not be NaN, got NaN at index \[1, 2\]"):
        F.connections(weight)


def test_statistics_and_hash_are_those_of_the_cpu():
    weight = torch.randn(513, 257)
    assert F.weight_statistics(weight.cuda(), 50.0) == F.weight_statistics(weight, 50.0)


def test_non_default_stream():
    spikes, weight = (torch.rand(50, 64, 100) < 0.1).float(), torch.randn(80, 100)
    expected = F.graded_spikes(spikes, weight, 64.0)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        result = F.graded_spikes(spikes.cuda(), weight.cuda(), 64.0)
    stream.synchronize()
    assert torch.equal(result.cpu(), expected)


@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_native_code_has_the_bits_of_the_model(tmp_path):
    layers = [nn.Synapse(5, 12, name="hidden", scale=20.0), nn.LIF(12, name="hidden")]
    model = torch.nn.Sequential(*layers, nn.Synapse(12, 3, name="out", scale=32.0), nn.LI(3, name="out")).cuda()
    path, x = tmp_path / "net.pt2", (torch.rand(20, 3, 5) < 0.3).float().cuda()
    gradspike.export(model, path, example=x, native_code="cuda")
    native = gradspike.load(path, map_location="cuda", allow_native_code=True)
    for steps, batch in [(20, 3), (1, 1), (150, 11)]:
        x = (torch.rand(steps, batch, 5) < 0.3).float().cuda()
        assert torch.equal(native(x), model(x))
    assert torch.equal(gradspike.load(path)(x.cpu()), model.cpu()(x.cpu()))  # without native code it opens anywhere
    with pytest.raises(ValueError, match="compiled for the device 'cuda', not for 'cpu'"):
        gradspike.load(path, allow_native_code=True)
