"""A4: `SparseSynapse`."""

import copy
import inspect
import math

import pytest
import torch
from contract_networks import UNIT, emulator, handle_of, scaled, spikes

import gradspike.spiking as hxsnn

CONNECTIONS = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, -1.0], [0.5, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
"""Five inputs, three outputs."""


@pytest.fixture
def experiment():
    return hxsnn.Experiment(mock=True)


def run(synapse, x):
    handle = synapse(handle_of(x))
    hxsnn.run(synapse.experiment, x.shape[0])
    return handle.graded_spikes


def few(inputs=20, outputs=15):
    """Few enough connections for the sparse operator."""
    return (torch.rand(inputs, outputs, generator=torch.Generator().manual_seed(5)) < 0.1).float()


def test_a4_the_constructor_takes_hxtorchs_arguments_in_order():
    names = list(inspect.signature(hxsnn.SparseSynapse).parameters)
    assert names[:6] == ["connections", "experiment", "chip_coordinate", "device", "dtype", "transform"]


@pytest.mark.parametrize("layout", ["dense", "sparse_coo"])
def test_a4_connections_are_in_out_and_every_non_zero_counts(experiment, layout):
    with torch.sparse.check_sparse_tensor_invariants():
        given = CONNECTIONS if layout == "dense" else CONNECTIONS.to_sparse(layout=getattr(torch, layout))
    synapse = hxsnn.SparseSynapse(given, experiment)
    assert synapse.weight.shape == (3, 5) and (synapse.in_features, synapse.out_features) == (5, 3)
    assert synapse.connections == [[0, 0, 1, 2, 2], [0, 2, 3, 0, 1]]  # post, pre; sorted by post, then pre
    assert synapse.mask.dtype == torch.bool and torch.equal(synapse.mask, (CONNECTIONS != 0).t())
    assert synapse.bias is None


def test_a4_uncoalesced_entries_add_up(experiment):
    index = torch.tensor([[0, 0, 1], [1, 1, 0]])
    with torch.sparse.check_sparse_tensor_invariants():
        connections = torch.sparse_coo_tensor(index, [1.0, 2.0, 1.0], (2, 2))
    assert hxsnn.SparseSynapse(connections, experiment).connections == [[0, 1], [1, 0]]


def test_a4_weight_is_drawn_as_that_of_a_dense_one_and_zero_elsewhere(experiment):
    torch.manual_seed(2)
    synapse = hxsnn.SparseSynapse(CONNECTIONS, experiment)
    torch.manual_seed(2)
    dense = torch.nn.init.kaiming_uniform_(torch.empty(3, 5), a=math.sqrt(5))
    assert torch.equal(synapse.weight, dense * (CONNECTIONS != 0).t())
    torch.manual_seed(2)
    synapse.weight.data.fill_(1.0)
    synapse.reset_parameters()
    assert torch.equal(synapse.weight, dense * (CONNECTIONS != 0).t())
    assert list(synapse.state_dict()) == ["weight"]


@pytest.mark.parametrize("connections", [CONNECTIONS, few()])
def test_a4_the_forward_pass_is_the_product_with_zeros_elsewhere(experiment, connections):
    synapse = hxsnn.SparseSynapse(connections, experiment)
    torch.nn.init.normal_(synapse.weight)  # also where no connection exists
    x, mask = spikes(size=connections.shape[0]), (connections != 0).t()
    expected = x @ (synapse.weight.detach() * mask).t()
    torch.testing.assert_close(run(synapse, x), expected)
    assert not synapse.weight.detach()[~mask].any()  # and in the parameter itself


@pytest.mark.parametrize("connections", [CONNECTIONS, few()])
def test_a4_the_gradient_is_dense_and_zero_elsewhere(experiment, connections):
    synapse = hxsnn.SparseSynapse(connections, experiment, dtype=torch.float64)
    x = spikes(size=connections.shape[0], dtype=torch.float64).requires_grad_()
    mask = (connections != 0).t()
    result = run(synapse, x)
    ramp = torch.linspace(-1, 1, result.numel(), dtype=torch.float64).reshape(result.shape)
    ours = torch.autograd.grad((result * ramp).sum(), (x, synapse.weight))
    theirs = torch.autograd.grad(((x @ (synapse.weight * mask).t()) * ramp).sum(), (x, synapse.weight))
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b)
    assert ours[1].shape == synapse.weight.shape and not ours[1][~mask].any()


def test_a4_an_optimizer_with_momentum_cannot_bring_connections_back(experiment):
    synapse = hxsnn.SparseSynapse(CONNECTIONS, experiment)
    optimizer = torch.optim.SGD(synapse.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        run(synapse, spikes()).square().sum().backward()
        optimizer.step()
    assert not synapse.weight.detach()[~synapse.mask].any()


def test_a4_get_connections_gives_existing_ones_sorted(experiment):
    synapse = hxsnn.SparseSynapse(CONNECTIONS, experiment, transform=scaled(10.0))
    synapse.weight.data = torch.arange(15.0).reshape(3, 5) / 10 * synapse.mask
    assert synapse.get_connections() == [(0, 0, 0), (2, 0, 2), (3, 1, 8), (0, 2, 10), (1, 2, 11)]
    assert torch.equal(synapse.connection_array(), torch.tensor(synapse.get_connections(), dtype=torch.int32))


def test_a4_get_connections_rounds_half_to_even(experiment):
    synapse = hxsnn.SparseSynapse(torch.ones(4, 1), experiment)
    synapse.weight.data = torch.tensor([[0.5, 1.5, -2.5, 70.0]])
    assert [c.weight for c in synapse.get_connections()] == [0, 2, -2, 63]


def test_a4_changed_input_data_goes_by_content(experiment):
    synapse = hxsnn.SparseSynapse(CONNECTIONS, experiment)
    assert synapse.changed_input_data
    synapse.changed_input_data = False
    assert not synapse.changed_input_data
    synapse.weight.data[0, 0] += 1
    assert synapse.changed_input_data


def test_a4_weight_updates_are_uploaded_every_time():
    experiment = emulator()
    synapse, neurons = hxsnn.SparseSynapse(CONNECTIONS, experiment, name="in"), hxsnn.LIF(3, experiment, **UNIT)
    torch.nn.init.constant_(synapse.weight, 5.0)
    for k in range(3):
        neurons(synapse(handle_of(spikes())))
        hxsnn.run(experiment, 20)
        assert experiment.uploads == k + 1
        held = experiment.last_run_chip_configs["in"]
        assert torch.equal(held != 0, synapse.mask) and held.max() == 5 + k
        synapse.weight.data += 1


def test_a4_the_mask_moves_with_the_module(experiment):
    synapse = hxsnn.SparseSynapse(CONNECTIONS, experiment).to("meta")
    assert synapse.mask.device.type == synapse.weight.device.type == "meta"
    other = copy.deepcopy(hxsnn.SparseSynapse(CONNECTIONS, experiment)).double()
    assert other.weight.dtype == torch.float64 and other.mask.dtype == torch.bool


def test_a4_a_loaded_weight_is_zero_elsewhere(experiment):
    synapse = hxsnn.SparseSynapse(CONNECTIONS, experiment)
    synapse.load_state_dict({"weight": torch.ones(3, 5)})
    run(synapse, spikes())
    assert torch.equal(synapse.weight.detach(), synapse.mask.float())


@pytest.mark.parametrize("connections", [torch.ones(3), [[1, 0]], None])
def test_a4_other_connections_are_refused(experiment, connections):
    with pytest.raises(ValueError, match=r"SparseSynapse: connections must be a tensor \[in_features, out_features\]"):
        hxsnn.SparseSynapse(connections, experiment)


@pytest.mark.parametrize("connections", [CONNECTIONS, few()])
def test_a4_integers_of_the_chip_in_simulation(connections):
    experiment = hxsnn.Experiment(mock=True, hardware_weights=True)
    synapse = hxsnn.SparseSynapse(connections, experiment, transform=scaled(30.0))
    torch.nn.init.normal_(synapse.weight)
    x = spikes(size=connections.shape[0])
    integers = (synapse.weight.detach() * 30.0).round().clamp(-63, 63) * synapse.mask
    assert torch.equal(run(synapse, x), (x @ integers.t()) * torch.tensor(1 / 30.0))
