"""The CUDA operators give the bits of the CPU operators, never wait for the device, and can be captured."""

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
SUMS = {"graded_spikes", "graded_spikes_float", "lif_tensors", "li_tensors", "recurrent_numbers", "recurrent_tensors"}


def on_gpu(tensors):
    return tuple(tensor.detach().cuda().requires_grad_(tensor.requires_grad) for tensor in tensors)


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
    exact = case.name != "graded_spikes_float"
    assert_same(outputs_of(case.call(*on_gpu(tensors))), outputs_of(case.call(*tensors)), exact)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_backward(case):
    tensors = case.arguments(batch=37)
    moved = on_gpu(tensors)
    expected = gradients_of(case.call(*tensors), tensors)
    loss = sum(
        (o * torch.linspace(-1.0, 1.0, o.numel(), dtype=o.dtype).reshape(o.shape).cuda()).sum()
        for o in outputs_of(case.call(*moved))
        if o.requires_grad
    )
    actual = torch.autograd.grad(loss, [tensor for tensor in moved if tensor.requires_grad])
    assert_same(actual, expected, case.name not in SUMS)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_backward_is_deterministic(case):
    def run():
        moved = on_gpu(case.arguments(batch=37))
        loss = sum(o.square().sum() for o in outputs_of(case.call(*moved)) if o.requires_grad)
        return torch.autograd.grad(loss, [tensor for tensor in moved if tensor.requires_grad])

    first, second = run(), run()
    assert all(torch.equal(a, b) for a, b in zip(first, second))


@pytest.mark.parametrize("case", [c for c in CASES if c.name != "connections"], ids=lambda case: case.name)
def test_does_not_wait_for_the_device(case):
    moved = on_gpu(case.arguments())
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        outputs = [output for output in outputs_of(case.call(*moved)) if output.requires_grad]
        if outputs:
            torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_synapse_does_not_wait_for_the_device_at_its_first_call():
    synapse = nn.Synapse(5, 7, device="cuda")
    spikes = torch.ones(3, 2, 5, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        synapse(spikes)
    finally:
        torch.cuda.set_sync_debug_mode("default")


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
