"""Random models: the deployed network gives the bits of the operators, scripted and traced."""

import pytest
import torch

import random_networks
from gradspike import chip

SCRIPTED = range(44)
TRACED = range(1000, 1022)


@pytest.fixture(autouse=True)
def inference():
    """Prepacked layers have no gradient."""
    with torch.no_grad():
        yield


def flat(outputs):
    return [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)


def require_equal(model, network, inputs):
    """Outputs, spikes and membranes of the deployed network against the model."""
    expected = flat(model.eval()(*inputs))
    on_model = network.run_model(*inputs)
    deployed = network.deploy()(*inputs, membrane="*")
    for got in (flat(on_model.outputs), flat(deployed.outputs)):
        assert len(got) == len(expected)
        for a, b in zip(got, expected):
            assert torch.equal(a, b)
    assert deployed.spikes.keys() == on_model.spikes.keys()
    assert deployed.membrane.keys() == on_model.membrane.keys()
    for name, spikes in on_model.spikes.items():
        assert torch.equal(deployed.spikes[name], spikes), name
    for name, membrane in on_model.membrane.items():
        assert torch.equal(deployed.membrane[name], membrane), name
    assert sum(deployed.lost.values()) == 0


@pytest.mark.parametrize("seed", SCRIPTED)
def test_scripted(seed, tmp_path):
    model, inputs = random_networks.random_model(seed, tmp_path)
    require_equal(model, chip.read(model, inputs, network="random"), inputs)


@pytest.mark.parametrize("seed", TRACED)
def test_traced(seed, tmp_path):
    model, inputs = random_networks.random_model(seed, tmp_path)
    traced = torch.jit.trace(model.eval(), tuple(inputs), check_trace=False)
    require_equal(model, chip.read(traced, inputs, network="random"), inputs)


def test_most_random_models_spike(tmp_path):
    """Equality of silent networks would prove nothing."""
    spiking = 0
    for seed in range(20):
        model, inputs = random_networks.random_model(seed, tmp_path)
        result = chip.read(model, inputs, network="random").run_model(*inputs)
        spiking += sum(spikes.sum() for spikes in result.spikes.values()) > 0
    assert spiking >= 12


@pytest.mark.parametrize("seed", range(2000, 2006))
def test_scripted_and_traced_are_the_same_network(seed, tmp_path):
    model, inputs = random_networks.random_model(seed, tmp_path)
    scripted = chip.read(model, inputs, network="random").description
    traced = chip.read(torch.jit.trace(model.eval(), tuple(inputs), check_trace=False), inputs, network="random")
    assert traced.description == scripted


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_many(block, tmp_path):
    for seed in range(10_000 + 50 * block, 10_050 + 50 * block):
        model, inputs = random_networks.random_model(seed, tmp_path)
        require_equal(model, chip.read(model, inputs, network="random"), inputs)
