"""Plasticity rules: from the module to registry, description, file and backend; refused where they cannot run."""

import math
import pickle

import pytest
import torch

import gradspike
from gradspike import chip, nn

RULE = nn.PlasticityRule(
    "void PLASTICITY_RULE_KERNEL() {}", period=1e-3, start=1e-4, executions=5, recording=("weights",)
)
FIELDS = {
    "plasticity_rule": RULE.kernel,
    "plasticity_executions": 5,
    "plasticity_recording": ["weights"],
}


def network(rule=RULE, name="in"):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        nn.Synapse(5, 6, name=name, receptor="excitatory", plasticity_rule=rule),
        nn.LIF(6, name="hidden", threshold=0.2),
    )


def spikes():
    return (torch.rand(20, 2, 5, generator=torch.Generator().manual_seed(1)) < 0.3).float()


@pytest.mark.parametrize("name", ["in", None])
def test_a_rule_reaches_description_and_registry(name):
    read = chip.read(network(name=name))
    (projection,) = read.description["projections"]
    assert {key: projection[key] for key in FIELDS} == FIELDS
    (entry,) = [p for p in chip.registered()["projections"] if p["key"] == f"network/{name or '0'}"]
    assert entry["plasticity_rule"] == RULE.kernel and entry["plasticity_recording"] == ["weights"]
    assert read.map().data["synapses"]


def test_a_wish_goes_before_the_module():
    other = nn.PlasticityRule("other", period=2e-3)
    (projection,) = chip.read(network(), projections={"in": {"plasticity_rule": other}}).description["projections"]
    assert projection["plasticity_rule"] == "other" and "plasticity_executions" not in projection


def test_a_rule_is_saved_with_the_network(tmp_path):
    saved = gradspike.save(network(), tmp_path / "net.pt", network=tmp_path / "net.json").description
    for read in (chip.read(gradspike.load(tmp_path / "net.pt")), chip.load_network(tmp_path / "net.json")):
        (projection,) = read.description["projections"]
        assert {key: projection[key] for key in FIELDS} == FIELDS
        assert read.description["projections"] == saved["projections"]


@pytest.mark.parametrize("preset", ["ideal", "noiseless"])
def test_the_emulator_runs_without_it_and_says_so(preset):
    result = chip.deploy(network(), preset=preset)(spikes())
    plain = chip.deploy(network(None), preset=preset)(spikes())
    assert "the plasticity rule of projection 'in'" in result.not_modelled
    assert "the plasticity rule of projection 'in'" not in plain.not_modelled
    assert torch.equal(result.spikes["hidden"], plain.spikes["hidden"])
    assert "plasticity rule is carried to the backend; the emulator executes none" in str(chip.check(network()))


def test_a_rule_survives_copying_and_scripting():
    model = pickle.loads(pickle.dumps(network()))
    assert model[0].plasticity_rule == RULE
    assert torch.equal(torch.jit.script(model)(spikes()), model(spikes()))


def test_signed_projections_are_refused_with_the_remedy():
    with pytest.raises(ValueError, match="set receptor='excitatory' or receptor='inhibitory', got receptor 'signed'"):
        nn.Synapse(5, 6, plasticity_rule=RULE)
    model = torch.nn.Sequential(nn.Synapse(5, 6, name="in"), nn.LIF(6))
    with pytest.raises(RuntimeError, match='projection "in": a plasticity rule needs an unsigned projection'):
        chip.read(model, projections={"in": {"plasticity_rule": RULE}})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"kernel": ""}, "kernel must be a program, got ''"),
        ({"period": 0.0}, "period must be finite and above 0 s, got 0.0"),
        ({"period": math.nan}, "period must be finite"),
        ({"start": -1.0}, "start must be finite and at least 0 s, got -1.0"),
        ({"executions": -1}, "executions must be a whole number from 0, got -1"),
        ({"executions": True}, "executions must be a whole number from 0, got True"),
    ],
)
def test_wrong_rules_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        nn.PlasticityRule(**{"kernel": "k", "period": 1e-3, **arguments})


def test_a_rule_is_no_text():
    with pytest.raises(TypeError, match="plasticity_rule must be a PlasticityRule, got str"):
        nn.Synapse(5, 6, receptor="excitatory", plasticity_rule="stdp")
