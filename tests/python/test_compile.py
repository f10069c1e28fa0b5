"""torch.compile with fullgraph, and torch.export: the bits and gradients of eager mode."""

import io

import pytest
import torch

from cases import CASES, DIFFERENTIABLE, gradients_of, outputs_of
from gradspike import nn


def assert_same(actual, expected):
    for a, e in zip(outputs_of(actual), outputs_of(expected)):
        assert torch.equal(a, e)


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fullgraph_static(case):
    tensors = case.arguments(requires_grad=False)
    compiled = torch.compile(case.call, fullgraph=True, backend="aot_eager", dynamic=False)
    assert_same(compiled(*tensors), case.call(*tensors))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fullgraph_dynamic_compiles_once(case):
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(case.call, fullgraph=True, backend=counter, dynamic=True)
    for batch in (3, 5, 8):
        tensors = case.arguments(batch, requires_grad=False)
        assert_same(compiled(*tensors), case.call(*tensors))
    assert counter.frame_count == 1


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_gradients(case, dynamic):
    tensors = case.arguments()
    compiled = torch.compile(case.call, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    assert_same(gradients_of(compiled(*tensors), tensors), gradients_of(case.call(*tensors), tensors))


def network():
    return torch.nn.Sequential(nn.Synapse(4, 8), nn.LIF(8, tau_mem=torch.full((8,), 8e-6)), nn.Synapse(8, 3), nn.LI(3))


def spikes_of(batch):
    return (torch.rand(20, batch, 4) < 0.3).float()


def test_modules_compile_with_their_first_call():
    model = network()
    spikes = spikes_of(3)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    compiled(spikes).square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    model(spikes).square().sum().backward()
    assert_same(gradients, [parameter.grad for parameter in model.parameters()])


def test_step_and_traces_compile():
    lif = nn.LIF(4)
    x = torch.randn(3, 2, 4)
    compiled = torch.compile(lif.traces, fullgraph=True, backend="aot_eager")
    assert_same(compiled(x), lif.traces(x))
    step = torch.compile(lif.step, fullgraph=True, backend="aot_eager")
    assert_same(step(x[0], None), lif.step(x[0], None))


@pytest.mark.filterwarnings("ignore:The given buffer is not writable:UserWarning")  # torch.export.load's own
@pytest.mark.parametrize("strict", [False, True])
def test_export_with_a_dynamic_batch(strict):
    model = network()
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(model, (spikes_of(3),), dynamic_shapes=({1: batch},), strict=strict)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    buffer.seek(0)
    loaded = torch.export.load(buffer).module()
    for size in (2, 7):
        spikes = spikes_of(size)
        assert torch.equal(loaded(spikes), model(spikes))
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert sum(target.startswith("gradspike.") for target in targets) == 4


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # compiled autograd's own
def test_fullgraph_with_compiled_autograd():
    model = network()
    spikes = spikes_of(3)
    model(spikes).square().sum().backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    loss = model(spikes).square().sum()
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager", fullgraph=True)):
        loss.backward()
    assert_same([parameter.grad for parameter in model.parameters()], expected)
