"""The migration page names what exists."""

import importlib
import re
from pathlib import Path

import pytest

import gradspike.spiking

PAGE = (Path(__file__).parents[3] / "docs" / "migration.md").read_text()
TABLE = """
AELIF LIF LI BatchDropout NeuronExp ReadoutNeuronExp InputNeuron HXModule HXModuleWrapper Handle HXParameter
MixedHXModelParameter HXTransformedModelParameter ModelParameter ExecutionInstance PlasticityRule Timer Synapse
SparseSynapse EventPropSynapse EventPropLIF LIFObservables Experiment
"""


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\bgradspike(?:\.[A-Za-z_]\w*)+", PAGE))))
def test_a_name_of_gradspike_exists(name):
    parts = name.split(".")
    value = importlib.import_module("gradspike")
    for k, part in enumerate(parts[1:], 2):
        value = getattr(value, part) if hasattr(value, part) else importlib.import_module(".".join(parts[:k]))


@pytest.mark.parametrize("name", TABLE.split())
def test_a_name_of_the_table_exists(name):
    assert name in PAGE and hasattr(gradspike.spiking, name)


def test_files_that_are_named_exist():
    root = Path(__file__).parents[3]
    assert (root / "docs" / "backend-protocol.md").exists() and "(backend-protocol.md)" in PAGE
    for path in re.findall(r"`(examples/[\w/.]+)`", PAGE):
        assert (root / path).exists()


def test_the_example_of_readings():
    from gradspike.spiking import _readout

    torch = importlib.import_module("torch")
    experiment = gradspike.spiking.Experiment(mock=True)
    mixed = gradspike.spiking.MixedHXModelParameter
    neurons = gradspike.spiking.LIF(1, experiment, leak=mixed(0.0, 80), threshold=mixed(1.0, 150))
    readings = _readout.readings(neurons, torch.tensor([[[0.0]], [[1.0]]]))
    assert readings.flatten().tolist() == [80.0, 150.0]
