"""Modules of the EventProp family: the operators behind them, TorchScript, compilation, copies, training."""

import copy
import io
import pickle

import pytest
import torch

import gradspike
from gradspike import functional as F
from gradspike import nn

NEURONS = [nn.EventPropLIF, nn.ExactEventPropLIF]


def spikes_of(*shape):
    return (torch.rand(shape) < 0.3).float()


class Network(torch.nn.Module):
    def __init__(self, neurons):
        super().__init__()
        self.hidden = nn.EventPropSynapse(4, 8, name="hidden")
        self.first = neurons(8, tau_mem=torch.full((8,), 8e-6), name="first")
        self.output = nn.EventPropSynapse(8, 3)
        self.second = neurons(3, leak=0.1)
        for synapse in (self.hidden, self.output):
            torch.nn.init.uniform_(synapse.weight, 0.5, 2.5)

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        graded, adjoint = self.hidden(spikes)
        graded, adjoint = self.output(self.first(graded, adjoint))
        return self.second(graded, adjoint)


def gradients(model, spikes):
    model.zero_grad()
    model(spikes).square().sum().backward()
    result = [parameter.grad.clone() for parameter in model.parameters()]
    assert all(gradient.any() for gradient in result)
    return result


def test_synapse_is_the_operator():
    synapse = nn.EventPropSynapse(4, 8, scale=30.0, receptor="excitatory", units="lsb")
    spikes = spikes_of(6, 2, 4)
    graded, adjoint = synapse(spikes)
    expected = F.eventprop_graded_spikes(spikes, synapse.weight, 30.0, 0.0, 63.0, units="lsb")
    assert torch.equal(graded, expected[0]) and torch.equal(adjoint, expected[1])
    assert isinstance(synapse, nn.Synapse) and set(synapse.state_dict()) == {"weight"}


def test_masked_synapse():
    mask = torch.rand(8, 4) < 0.5
    synapse = nn.EventPropSynapse(4, 8, mask=mask)
    synapse(torch.ones(3, 1, 4))[0].sum().backward()
    assert not synapse.weight.grad[~mask].any()


def test_neurons_are_the_operators():
    x, adjoint = torch.randn(20, 2, 5) * 4, torch.zeros(20, 2, 5)
    times = {"tau_mem": 8e-6, "tau_syn": torch.full((5,), 7e-6)}
    assert torch.equal(
        nn.EventPropLIF(5, reset=-0.1, **times)(x, adjoint), F.eventprop_lif(x, adjoint, reset=-0.1, **times).spikes
    )
    more = {**times, "membrane_capacitance": 9e-6, "refractory_time": 2e-6}
    module = nn.ExactEventPropLIF(5, threshold=0.9, **more)
    assert torch.equal(module(x, adjoint), F.lif(x, threshold=0.9, **more).spikes)
    assert torch.equal(module(x, adjoint), nn.LIF(5, threshold=0.9, **more)(x))


@pytest.mark.parametrize("neurons", NEURONS)
def test_traces(neurons):
    x, adjoint = (torch.randn(20, 2, 5) * 4).requires_grad_(), torch.zeros(20, 2, 5)
    module = neurons(5)
    traces = module.traces(x, adjoint)
    assert torch.equal(traces.spikes, module(x, adjoint)) and traces.membrane.shape == x.shape
    assert traces.spikes.requires_grad and not traces.membrane.requires_grad and not traces.current.requires_grad
    if neurons is nn.ExactEventPropLIF:
        first = module.traces(x[:8], adjoint[:8])
        rest = module.traces(x[8:], adjoint[8:], first.state)
        assert torch.equal(torch.cat([first.membrane, rest.membrane]), traces.membrane)


@pytest.mark.parametrize("neurons", NEURONS)
def test_script_save_load_train(neurons):
    model, spikes = Network(neurons), spikes_of(20, 3, 4)
    scripted = torch.jit.script(model)
    kinds = {node.kind() for node in scripted.inlined_graph.nodes()}
    assert "prim::If" not in kinds and "gradspike::eventprop_graded_spikes" in kinds
    buffer = io.BytesIO()
    torch.jit.save(scripted, buffer)
    buffer.seek(0)
    loaded = torch.jit.load(buffer)
    assert torch.equal(loaded(spikes), model(spikes))
    expected = gradients(model, spikes)
    assert all(torch.equal(a, e) for a, e in zip(gradients(loaded, spikes), expected))
    x, adjoint = torch.randn(10, 2, 8) * 4, torch.zeros(10, 2, 8)
    assert all(
        torch.equal(a, e)
        for a, e in zip(torch.jit.script(model.first).traces(x, adjoint), model.first.traces(x, adjoint))
    )


@pytest.mark.parametrize("neurons", NEURONS)
def test_compile(neurons):
    torch._dynamo.reset()
    model, spikes = Network(neurons), spikes_of(20, 3, 4)
    model(spikes)
    expected = gradients(model, spikes)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    compiled(spikes).square().sum().backward()
    model.zero_grad()
    compiled(spikes).square().sum().backward()
    assert all(torch.equal(p.grad, e) for p, e in zip(model.parameters(), expected))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # compiled autograd's own
def test_compiled_autograd():
    model, spikes = Network(nn.ExactEventPropLIF), spikes_of(20, 3, 4)
    expected = gradients(model, spikes)
    model.zero_grad()
    loss = model(spikes).square().sum()
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="aot_eager", fullgraph=True)):
        loss.backward()
    assert all(torch.equal(p.grad, e) for p, e in zip(model.parameters(), expected))


@pytest.mark.parametrize("neurons", NEURONS)
def test_copies(neurons):
    model, spikes = Network(neurons), spikes_of(20, 3, 4)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(spikes), model(spikes))
    assert "8, leak=0" in repr(model) and "name=first" in repr(model)


def test_a_spike_time_is_learned():
    """One neuron is trained to spike at a given step: EventProp alone moves the time there."""
    torch.manual_seed(3)
    synapse, neuron = (
        nn.EventPropSynapse(5, 1, rounding="none", scale=1.0),
        nn.ExactEventPropLIF(1, refractory_time=1e-3),
    )
    with torch.no_grad():
        synapse.weight.fill_(0.9)
    spikes = torch.zeros(40, 1, 5)
    for channel in range(5):
        spikes[2 * channel, 0, channel] = 1.0
    optimizer = torch.optim.SGD(synapse.parameters(), lr=2e-3)
    times = []
    for _ in range(300):
        output = neuron(*synapse(spikes))
        (time,) = output.detach().flatten().nonzero().flatten().tolist()
        times.append(time)
        gradient = torch.zeros_like(output)
        gradient[time] = -(time - 12.0)  # minus the derivative of (time - 12)^2 / 2 to the time, in steps
        optimizer.zero_grad()
        output.backward(gradient)
        optimizer.step()
    assert abs(times[0] - 12) > 2 and set(times[-20:]) == {12}


class Plain(torch.nn.Module):
    """The network of `Network(nn.ExactEventPropLIF)` from the synapses and neurons that are not of the family."""

    def __init__(self, trained):
        super().__init__()
        self.hidden, self.output = nn.Synapse(4, 8, name="hidden"), nn.Synapse(8, 3)
        self.first, self.second = nn.LIF(8, tau_mem=torch.full((8,), 8e-6), name="first"), nn.LIF(3, leak=0.1)
        self.load_state_dict(trained.state_dict())
        self.output.scale = trained.output.scale

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        return self.second(self.output(self.first(self.hidden(spikes))))


def test_the_exact_network_is_read_as_that_of_lif():
    model, spikes = Network(nn.ExactEventPropLIF), spikes_of(20, 3, 4)
    plain = Plain(model)
    assert torch.equal(model(spikes), plain(spikes)) and model(spikes).any()
    read, other = (gradspike.chip.read(m, spikes, network="net") for m in (model, plain))
    assert read.description == other.description
    assert torch.equal(gradspike.chip.deploy(model)(spikes).outputs, model(spikes))


def test_a_saved_exact_network_is_trained_on(tmp_path):
    model, spikes = Network(nn.ExactEventPropLIF), spikes_of(20, 3, 4)
    gradspike.save(model, tmp_path / "net.pt", example=spikes)
    loaded = gradspike.load(tmp_path / "net.pt")
    assert torch.equal(loaded(spikes), model(spikes))


def test_the_reader_refuses_the_scheme_of_hxtorch():
    with pytest.raises(RuntimeError, match="the current of eventprop_lif is one step behind"):
        gradspike.chip.read(Network(nn.EventPropLIF), spikes_of(20, 3, 4), network="eventprop")
