"""A13: `BatchDropout`."""

import pytest
import torch
from contract_networks import UNIT, Network, emulator, handle_of, spikes

import gradspike.spiking as hxsnn


def chain(experiment, rate=0.5, size=40):
    return (
        hxsnn.Synapse(5, size, experiment),
        hxsnn.LIF(size, experiment, **UNIT),
        hxsnn.BatchDropout(size, rate, experiment),
    )


def run(parts, x):
    synapse, neurons, dropout = parts
    before = neurons(synapse(handle_of(x)))
    after = dropout(before)
    hxsnn.run(synapse.experiment, x.shape[0])
    return before, after


def test_a13_one_mask_for_the_whole_batch_and_all_steps():
    parts, x = chain(hxsnn.Experiment(mock=True)), spikes(batch=4)
    torch.nn.init.normal_(parts[0].weight, 4, 1)
    before, after = run(parts, x)
    mask = parts[2].mask
    assert mask.dtype == torch.bool and mask.shape == (40,) and 5 < mask.sum() < 35
    assert torch.equal(after.spikes, before.spikes * mask)  # no rescaling
    assert before.spikes.any()


def test_a13_the_result_is_in_spikes():
    parts = chain(hxsnn.Experiment(mock=True))
    _, after = run(parts, spikes())
    assert after.holds("spikes") and not after.holds("current")
    experiment = parts[0].experiment
    onward = hxsnn.Synapse(40, 3, experiment)
    handle = onward(parts[2](parts[1](parts[0](handle_of(spikes())))))
    hxsnn.run(experiment, 20)
    assert handle.holds("graded_spikes")


def test_a13_each_run_draws_a_mask_in_simulation_too():
    parts = chain(hxsnn.Experiment(mock=True))
    masks = []
    for _ in range(3):
        run(parts, spikes())
        masks.append(parts[2].mask)
    assert not torch.equal(masks[0], masks[1]) and not torch.equal(masks[1], masks[2])


def test_a13_evaluation_drops_nothing():
    parts = chain(hxsnn.Experiment(mock=True))
    parts[2].eval()
    before, after = run(parts, spikes())
    assert parts[2].mask.all() and torch.equal(before.spikes, after.spikes)


def test_a13_the_mask_is_set_on_the_population_before():
    parts = chain(hxsnn.Experiment(mock=True))
    run(parts, spikes())
    assert parts[1].mask.tolist() == parts[2].mask.tolist()


@pytest.mark.parametrize("rate, kept", [(0.0, 40), (1.0, 0)])
def test_a13_probabilities_at_the_ends(rate, kept):
    parts = chain(hxsnn.Experiment(mock=True), rate)
    run(parts, spikes())
    assert int(parts[2].mask.sum()) == kept


def test_a13_gradients_of_dropped_neurons_are_zero():
    parts, x = chain(hxsnn.Experiment(mock=True)), spikes()
    torch.nn.init.normal_(parts[0].weight, 4, 1)
    _, after = run(parts, x)
    (gradient,) = torch.autograd.grad(after.spikes.sum(), parts[0].weight)
    mask = parts[2].mask
    assert not gradient[~mask].any() and gradient[mask].any()


def test_a13_it_follows_a_population():
    experiment = hxsnn.Experiment(mock=True)
    hxsnn.BatchDropout(4, 0.5, experiment)(hxsnn.Synapse(5, 4, experiment)(handle_of(spikes())))
    with pytest.raises(TypeError, match="The BatchDropout module is only allowed to succeed a Neuron module"):
        hxsnn.run(experiment, 20)


@pytest.mark.parametrize("count", [0, 2])
def test_a13_it_follows_exactly_one_module(count):
    experiment = hxsnn.Experiment(mock=True)
    dropout = hxsnn.BatchDropout(4, 0.5, experiment)
    graded = hxsnn.SynapseHandle(graded_spikes=torch.zeros(3, 1, 4))
    if count == 0:
        dropout(handle_of(spikes(size=4)))
    for _ in range(count):
        dropout(hxsnn.LIF(4, experiment)(graded))
    with pytest.raises(TypeError, match="to preceed"):
        hxsnn.run(experiment, 20)


def test_a13_on_a_backend_dropped_neurons_have_no_connections_and_come_back():
    experiment, x = emulator(hardware_weights=True), spikes()
    network = Network(experiment, sizes=(5, 12, 3))
    network.readout_synapse.name = "out"
    dropout = hxsnn.BatchDropout(12, 0.5, experiment)
    mappings = []
    experiment.post_mapping_hook = mappings.append

    def run_once():
        hidden = network.hidden(network.synapse(handle_of(x)))
        handle = network.readout(network.readout_synapse(dropout(hidden)))
        hxsnn.run(experiment, 20)
        return handle, experiment.last_run_chip_configs["out"]

    full = network.readout_synapse.hardware_weight().to(torch.int16)
    masks = []
    for _ in range(4):
        handle, held = run_once()
        masks.append(dropout.mask)
        assert torch.equal(held, full * dropout.mask)
        assert torch.equal(handle.membrane_cadc, measured_readout(experiment))
    assert any(not torch.equal(masks[0], mask) for mask in masks)
    dropout.eval()
    _, held = run_once()
    assert torch.equal(held, full)
    dropout.train()
    _, held = run_once()
    assert torch.equal(held, full * dropout.mask)
    assert len(mappings) == 1


def measured_readout(experiment):
    return next(trace for trace in experiment.result.membrane.values() if trace.shape[-1] == 3)


def test_a13_on_a_backend_the_result_is_that_of_the_simulation():
    results = []
    for options in ({"mock": True}, {"mock": False, "backend": "emulator"}):
        experiment = hxsnn.Experiment(hardware_weights=True, **options)
        network, dropout, x = Network(experiment), hxsnn.BatchDropout(12, 0.5, experiment), spikes()
        torch.manual_seed(7)
        handle = network.readout(network.readout_synapse(dropout(network.hidden(network.synapse(handle_of(x))))))
        hxsnn.run(experiment, 20)
        results.append(handle.membrane_cadc)
    assert torch.equal(*results) and results[0].any()


@pytest.mark.parametrize("first", ["training", "evaluation"])
def test_a13_on_a_backend_behind_a_module_of_the_user_and_before_a_sparse_projection(first):
    class Identity(hxsnn.HXModule):
        output_type = hxsnn.LIFObservables

        def forward_func(self, input):
            return hxsnn.LIFObservables(spikes=input.spikes)

    experiment, x = emulator(), spikes()
    into, neurons, dropout = chain(experiment, size=12)
    torch.nn.init.normal_(into.weight, 4, 1)
    between, connections = Identity(experiment), (torch.rand(12, 3) < 0.6).float()
    sparse, readout = hxsnn.SparseSynapse(connections, experiment, name="out"), hxsnn.LI(3, experiment)
    torch.nn.init.normal_(sparse.weight, std=20)
    sparse.weight.data *= sparse.mask
    dropout.train(first == "training")
    for _ in range(4):
        readout(sparse(between(dropout(neurons(into(handle_of(x)))))))
        hxsnn.run(experiment, 20)
        expected = sparse.hardware_weight().short() * dropout.mask
        assert torch.equal(experiment.last_run_chip_configs["out"], expected)
        dropout.train(not dropout.training)
