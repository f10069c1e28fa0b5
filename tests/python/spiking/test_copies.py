"""Pickles, copies, moves and state dictionaries of modules and experiments; memory over many runs."""

import copy
import gc
import io
import pickle
import weakref

import pytest
import torch
from contract_networks import UNIT, Network, assert_same, emulator, gradients, handle_of, scaled, spikes

import gradspike.spiking as hxsnn
from gradspike import nn


def modules(experiment):
    return [
        hxsnn.Synapse(5, 4, experiment, transform=scaled()),
        hxsnn.SparseSynapse(torch.ones(5, 4), experiment),
        hxsnn.EventPropSynapse(5, 4, experiment),
        hxsnn.LIF(4, experiment, **UNIT),
        hxsnn.LI(4, experiment),
        hxsnn.AELIF(4, experiment),
        hxsnn.EventPropLIF(4, experiment),
        hxsnn.InputNeuron(4, experiment),
        hxsnn.BatchDropout(4, 0.5, experiment),
        hxsnn.HXModule(experiment),
        hxsnn.HXModuleWrapper(experiment, a=hxsnn.LIF(4, experiment)),
    ]


NAMES = [type(module).__name__ for module in modules(hxsnn.Experiment(mock=True))]


def through_pickle(value):
    return pickle.loads(pickle.dumps(value))


def through_file(value):
    content = io.BytesIO()
    torch.save(value, content)
    content.seek(0)
    return torch.load(content, weights_only=False)


@pytest.mark.parametrize("place", range(len(NAMES)), ids=NAMES)
@pytest.mark.parametrize("way", [copy.deepcopy, through_pickle, through_file])
def test_every_module_is_copied_with_its_experiment(place, way):
    module = modules(hxsnn.Experiment(mock=True))[place]
    other = way(module)
    assert type(other) is type(module) and other.experiment is not module.experiment
    assert any(element is other for element in other.experiment.elements)
    assert other.state_dict().keys() == module.state_dict().keys()
    for a, b in zip(other.parameters(), module.parameters()):
        assert torch.equal(a, b) and a is not b


@pytest.mark.parametrize("way", [copy.deepcopy, through_pickle, through_file])
@pytest.mark.parametrize("mock", [True, False])
@pytest.mark.parametrize("when", ["before", "called", "after"])
def test_a_network_is_copied_before_during_and_after_a_run(way, mock, when):
    experiment = hxsnn.Experiment(mock=True) if mock else emulator()
    network, x = Network(experiment), spikes()
    if when == "called":
        network(x)
    if when == "after":
        network.run(x)[1].membrane_cadc.sum().backward()
    other = way(network)
    experiment.modules.clear()
    assert other.experiment.name != experiment.name and other.experiment.mock == mock
    ours, theirs = network.run(x), other.run(x)
    for a, b in zip(ours, theirs):
        assert_same(a, b)
    for a, b in zip(gradients(network, ours[1].membrane_cadc), gradients(other, theirs[1].membrane_cadc)):
        assert torch.equal(a, b)
    other.synapse.weight.data.add_(1)
    assert not torch.equal(network.synapse.weight, other.synapse.weight)


def test_a_module_that_keeps_a_result_can_be_copied():
    """Scripts keep spikes for a regulariser: a deep copy of results of a computation is PyTorch's error, not ours."""
    network = Network(hxsnn.Experiment(mock=True))
    network.run(spikes())
    other = copy.deepcopy(network.experiment)
    assert not other.modules.calls and other.modules.last_calls == []


def test_state_dict_holds_parameters_only():
    network = Network(emulator())
    expected = ["synapse.weight", "readout_synapse.weight"]
    assert list(network.state_dict()) == expected
    network.run(spikes())
    assert list(network.state_dict()) == expected
    for module in modules(hxsnn.Experiment(mock=True)):
        assert list(module.state_dict()) == [name for name, _ in module.named_parameters()]
        assert not list(module.buffers()) or isinstance(module, hxsnn.SparseSynapse)


def test_state_dict_is_loaded_elsewhere():
    network, other = (Network(hxsnn.Experiment(mock=True), seed=k) for k in range(2))
    other.load_state_dict(network.state_dict())
    x = spikes()
    assert_same(network.run(x)[1], other.run(x)[1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_to_moves_weights(dtype):
    network = Network(hxsnn.Experiment(mock=True)).to(dtype)
    assert {p.dtype for p in network.parameters()} == {dtype}
    hidden, _ = network.run(spikes(dtype=dtype))
    assert hidden.spikes.dtype == (torch.float64 if dtype == torch.float64 else hidden.spikes.dtype)


def test_float64_networks_are_refused_by_a_backend_in_a_sentence():
    network = Network(emulator(hardware_weights=True)).double()
    with pytest.raises(RuntimeError, match="weight is float64; networks on the chip and its emulator compute in float"):
        network.run(spikes(dtype=torch.float64))
    network.float().run(spikes())


def test_train_and_eval_reach_modules():
    experiment = hxsnn.Experiment(mock=True)
    held = torch.nn.ModuleList(modules(experiment))
    assert not any(module.training for module in held.eval()) and all(module.training for module in held.train())


def test_modules_without_handles_inside_are_scriptable():
    from gradspike.spiking.transforms import decode, encode

    for module in (decode.MaxOverTime(), decode.SumOverTime(), decode.MeanOverTime()):
        x = torch.randn(4, 2, 3)
        assert torch.equal(torch.jit.script(module)(x), module(x))
    encoder = encode.CoordinatesToSpikes(10, 1e-6, 5e-6)
    x = torch.rand(2, 3)
    assert torch.equal(torch.jit.script(encoder)(x), encoder(x))
    pixels = encode.PixelsToSpikeTimes(8.0, 0.2, 20.0)
    assert torch.equal(torch.jit.script(pixels)(x), pixels(x))


@pytest.mark.parametrize("options", [{"mock": True}, {"backend": "emulator"}])
def test_many_runs_keep_nothing_of_earlier_ones(options):
    experiment = hxsnn.Experiment(**options)
    network, kept = Network(experiment), []
    for k in range(6):
        x = spikes(seed=k)
        hidden, readout = network.run(x)
        readout.membrane_cadc.sum().backward()
        kept += [weakref.ref(tensor) for tensor in (hidden.spikes, hidden.current, readout.current)]
        kept += [weakref.ref(hidden), weakref.ref(readout)]
    del hidden, readout, x
    gc.collect()
    assert [ref for ref in kept[:-5] if ref() is not None] == []
    assert all(ref() is None for ref in kept[-5:])  # of the last run too


def test_an_experiment_is_freed_with_its_modules():
    network = Network(emulator())
    network.run(spikes())
    refs = [weakref.ref(network), weakref.ref(network.experiment), weakref.ref(network.experiment._hardware)]
    del network
    gc.collect()
    assert [ref for ref in refs if ref() is not None] == []


def test_the_number_of_calls_does_not_grow():
    network, x = Network(hxsnn.Experiment(mock=True)), spikes()
    for _ in range(5):
        network.run(x)
    manager = network.experiment.modules
    assert len(manager.nodes) == 4 and len(manager._previous) == 4 and not manager._produced


def test_handles_of_the_user_are_read_at_the_run():
    """A handle may be filled after the call, and filled again for the next one."""
    experiment = hxsnn.Experiment(mock=True)
    synapse, given = hxsnn.Synapse(5, 4, experiment), hxsnn.LIFObservables()
    handle = synapse(given)
    given.spikes = spikes()
    hxsnn.run(experiment, 20)
    torch.testing.assert_close(handle.graded_spikes, spikes() @ synapse.weight.t())
    given.spikes = 2 * spikes()
    handle = synapse(given)
    hxsnn.run(experiment, 20)
    torch.testing.assert_close(handle.graded_spikes, 2 * spikes() @ synapse.weight.t())
    assert handle_of(given.spikes).holds("spikes")


def adding(held):
    return lambda input: hxsnn.TensorHandle(tensor=input.tensor + held)


def test_functions_of_instances_are_freed():
    """What is remembered about a signature does not keep what a function holds."""
    module, held = hxsnn.HXModule(hxsnn.Experiment(mock=True)), torch.ones(3)
    module.forward_func = adding(held)
    module(hxsnn.TensorHandle(tensor=torch.ones(3)))
    hxsnn.run(module.experiment, 1)
    ref = weakref.ref(held)
    del module, held
    gc.collect()
    assert ref() is None


def test_recurrent_layers_from_before_their_input_mask():
    layer, x = nn.RecurrentLIF(5, 4), spikes()
    state = layer.__getstate__() if hasattr(layer, "__getstate__") else layer.__dict__
    state = {**state, "_buffers": {key: value for key, value in layer._buffers.items() if key != "input_mask"}}
    old = nn.RecurrentLIF.__new__(nn.RecurrentLIF)
    old.__setstate__(state)
    assert old.input_mask is None and torch.equal(old(x), layer(x))
    assert torch.equal(torch.jit.script(pickle.loads(pickle.dumps(old)))(x), layer(x))
    assert list(old.state_dict()) == list(layer.state_dict())
    masked = nn.RecurrentLIF(5, 4, input_mask=torch.eye(4, 5).bool())
    assert torch.equal(copy.deepcopy(masked).input_mask, masked.input_mask)
