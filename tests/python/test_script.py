"""TorchScript: script, trace, freeze, save and load give the bits and gradients of eager mode."""

import io

import pytest
import torch

from cases import CASES, DIFFERENTIABLE, gradients_of, outputs_of
from gradspike import functional as F
from gradspike import nn


def assert_same(actual, expected):
    for a, e in zip(outputs_of(actual), outputs_of(expected)):
        assert torch.equal(a, e)


def through_file(scripted):
    buffer = io.BytesIO()
    torch.jit.save(scripted, buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_script_save_load(case):
    tensors = case.arguments(requires_grad=False)
    expected = case.call(*tensors)
    scripted = torch.jit.script(case.call)
    assert_same(scripted(*tensors), expected)
    assert_same(through_file(scripted)(*tensors), expected)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_script_gradients(case):
    tensors = case.arguments()
    expected = gradients_of(case.call(*tensors), tensors)
    scripted = torch.jit.script(case.call)
    for _ in range(3):  # the profiling executor specialises after the first calls
        assert_same(gradients_of(scripted(*tensors), tensors), expected)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_trace(case):
    tensors = case.arguments(requires_grad=False)
    traced = torch.jit.trace(case.call, tensors)
    other = case.arguments(batch=5, requires_grad=False)
    assert_same(traced(*other), case.call(*other))


def network():
    leak = torch.nn.Parameter(torch.zeros(8))
    return torch.nn.Sequential(
        nn.Synapse(4, 8, name="hidden"), nn.LIF(8, leak=leak, refractory_time=1e-6), nn.Synapse(8, 3), nn.LI(3)
    )


def test_modules_script_freeze_save_load():
    model = network().eval()
    spikes = (torch.rand(20, 3, 4) < 0.3).float()
    expected = model(spikes)
    scripted = torch.jit.script(model)
    assert torch.equal(scripted(spikes), expected)
    assert torch.equal(through_file(scripted)(spikes), expected)
    assert torch.equal(torch.jit.freeze(scripted)(spikes), expected)


def test_scripted_modules_leave_no_branch_in_the_graph():
    """A reader of the graph meets operators and constants only."""
    graph = torch.jit.script(network()).inlined_graph
    kinds = {node.kind() for node in graph.nodes()}
    assert "prim::If" not in kinds and "prim::Loop" not in kinds and "prim::isinstance" not in kinds
    assert {"gradspike::graded_spikes", "gradspike::lif", "gradspike::li"} <= kinds


def test_scripted_traces_and_step():
    x = torch.randn(10, 2, 3) * 3
    lif = nn.LIF(3)
    scripted = torch.jit.script(lif)
    assert_same(scripted.traces(x), lif.traces(x))
    state, eager_state = None, None
    for row in x:
        spikes, state = scripted.step(row, state)
        eager_spikes, eager_state = lif.step(row, eager_state)
        assert torch.equal(spikes, eager_spikes) and torch.equal(state, eager_state)
    li = nn.LI(3)
    assert_same(torch.jit.script(li).traces(x), li.traces(x))


def test_scripted_module_trains():
    model = network()
    scripted = torch.jit.script(model)
    spikes = (torch.rand(20, 3, 4) < 0.3).float()
    scripted(spikes).square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    model(spikes).square().sum().backward()
    assert_same(gradients, [parameter.grad for parameter in model.parameters()])


def test_functional_call_with_a_number_folds_to_one_operator():
    def run(x: torch.Tensor) -> torch.Tensor:
        return F.lif(x, 0.25, threshold=0.75).spikes

    graph = torch.jit.script(run).inlined_graph
    torch._C._jit_pass_constant_propagation(graph)
    assert not {"prim::If", "prim::Loop"} & {node.kind() for node in graph.nodes()}


def test_two_calls_with_different_names_stay_two():
    def run(x: torch.Tensor) -> torch.Tensor:
        return F.lif(x, population="a").spikes + F.lif(x, population="b").spikes

    scripted = torch.jit.script(run)
    x = torch.randn(5, 1, 2) * 5
    for _ in range(3):
        assert torch.equal(scripted(x), run(x))
    assert str(torch.jit.last_executed_optimized_graph()).count("gradspike::lif(") == 2


@pytest.mark.parametrize("tau", [6e-6, 5.7e-6, 9.7e-6, 1.0 / 3.0])
def test_scripted_numbers_keep_their_bits(tau):
    """In TorchScript torch.tensor rounds a number to float32 before it widens, which would shift coefficients."""
    neurons = nn.LIF(3, leak=0.1, tau_mem=tau, tau_syn=1.1 * tau, membrane_capacitance=0.7 * tau, dt=tau / 7.0)
    readout = nn.LI(3, leak=0.1, tau_mem=tau, tau_syn=1.1 * tau, membrane_capacitance=0.7 * tau, dt=tau / 7.0)
    input = torch.randn(50, 2, 3)
    assert torch.equal(torch.jit.script(neurons).traces(input).membrane, neurons.traces(input).membrane)
    assert torch.equal(torch.jit.script(readout)(input), readout(input))
