"""Mappings in Python: stored, compared, routed by hand; and wishes for circuits."""

import copy
import json

import pytest
import torch

from gradspike import chip, nn


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(nn.Synapse(5, 6, name="in"), nn.LIF(6, name="hidden", threshold=0.2))


def spikes():
    return (torch.rand(20, 2, 5, generator=torch.Generator().manual_seed(1)) < 0.3).float()


def test_a_mapping_comes_back_from_json():
    mapping = chip.read(network()).map()
    again = chip.Mapping.from_json(mapping.to_json())
    assert again == mapping and again.differences(mapping) == []
    with pytest.raises(ValueError, match="must be JSON of the format gradspike.mapping"):
        chip.Mapping.from_json("{}")


def test_what_changed_is_told():
    before = chip.read(network()).map()
    after = chip.read(network(), projections={"in": {"chip_coordinate": "AtomicNeuronOnDLS(40, 0; 40)"}}).map()
    changes = before.differences(after)
    assert 'population "hidden", neuron 0: placement or address differs' in changes and len(changes) <= 20


def test_a_mapping_by_hand_is_used_or_refused():
    wished = chip.read(network(), projections={"in": {"chip_coordinate": "AtomicNeuronOnDLS(40, 0; 40)"}}).map()
    read = chip.read(network())
    read.use_mapping(wished)
    assert read.map() == wished
    result = read.deploy()(spikes())
    assert torch.equal(result.outputs, network()(spikes()))
    wrong = copy.deepcopy(wished.data)
    wrong["synapses"] = wrong["synapses"][1:]
    with pytest.raises(RuntimeError, match="the stored mapping of network 'network' is wrong: "):
        read.use_mapping(chip.Mapping.from_json(json.dumps(wrong)))
    assert read.map() == wished
    with pytest.raises(TypeError, match="use_mapping: mapping must be of type Mapping, got dict"):
        read.use_mapping(wished.data)


def circuits(read):
    return {len(neuron["circuits"]) for neuron in read.map().data["populations"][0]["neurons"]}


def test_more_circuits_per_neuron_can_be_wished():
    assert circuits(chip.read(network())) == {1}
    read = chip.read(network(), projections={"in": {"circuits_per_neuron": 4}})
    assert circuits(read) == {4}
    assert torch.equal(read.deploy()(spikes()).outputs, network()(spikes()))


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        (3, 'projection "in": circuits_per_neuron must be 1, or even and at most 256'),
        (-2, "projection 'in': circuits_per_neuron must lie in 0..256, got -2"),
        (512, "projection 'in': circuits_per_neuron must lie in 0..256, got 512"),
        (1.5, "'circuits_per_neuron' must be a whole number, got 1.5"),
    ],
)
def test_wrong_wishes_are_refused(wish, text):
    with pytest.raises(RuntimeError, match=text):
        chip.read(network(), projections={"in": {"circuits_per_neuron": wish}})


def test_too_few_circuits_are_a_misfit():
    wide = torch.nn.Sequential(nn.Synapse(300, 6, name="in"), nn.LIF(6, name="hidden"))
    report = chip.read(wide, projections={"in": {"circuits_per_neuron": 2}}).check()
    (misfit,) = report.misfits
    assert (misfit["layer"], misfit["quantity"], misfit["need"], misfit["limit"]) == ("in", "circuits per neuron", 4, 2)
