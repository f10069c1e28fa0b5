"""The public names, in the module paths of hxtorch."""

import importlib

import pytest

TOP = """HXModule HXModuleWrapper InputNeuron AELIF LIF LI NeuronExp ReadoutNeuronExp Synapse SparseSynapse BatchDropout
Handle TensorHandle SynapseHandle LIFObservables LIObservables HXParameter MixedHXModelParameter
HXTransformedModelParameter ModelParameter TrainableHXParameter TrainableMixedHXModelParameter
TrainableHXTransformedModelParameter TrainableModelParameter Experiment run datasets ExecutionInstance
init_hardware release_hardware"""
PATHS = {
    "": TOP,
    ".modules": """HXModule HXModuleWrapper InputNeuron AELIF LIF LI NeuronExp ReadoutNeuronExp Synapse SparseSynapse
        BatchDropout EventPropLIF EventPropSynapse Population InputPopulation Projection HXFunctionalModule
        HXTorchBaseModule""",
    ".modules.synapse": "Synapse",
    ".modules.sparse_synapse": "SparseSynapse",
    ".modules.neuron": "AELIF LIF LI EventPropLIF",
    ".modules.input_neuron": "InputNeuron",
    ".modules.batch_dropout": "BatchDropout",
    ".modules.hx_module": "HXModule",
    ".modules.hx_module_wrapper": "HXModuleWrapper",
    ".modules.types": "Population InputPopulation Projection HXFunctionalModule HXTorchBaseModule",
    ".handle": "Handle TensorHandle SynapseHandle LIFObservables LIObservables",
    ".parameter": "HXParameter MixedHXModelParameter HXTransformedModelParameter ModelParameter",
    ".functional": """linear linear_sparse linear_exponential_clamp threshold Unterjubel input_neuron batch_dropout
        exp_cuba_lif_integration exp_cuba_li_integration cuba_aelif_integration CuBaStepCode SuperSpike""",
    ".functional.linear": "linear linear_sparse linear_exponential_clamp",
    ".functional.threshold": "threshold",
    ".functional.unterjubel": "Unterjubel",
    ".transforms": "weight_transforms encode decode",
    ".transforms.weight_transforms": "linear_saturating",
    ".transforms.encode": "CoordinatesToSpikes PixelsToSpikeTimes SpikeTimesToSparseTensor SpikeTimesToDense",
    ".transforms.decode": "MaxOverTime SumOverTime MeanOverTime",
    ".datasets": "YinYangDataset",
    ".experiment": "Experiment",
    ".observables": "AnalogObservable",
    ".run": "run",
    ".utils.model_mapper": "MixinHXModelMapper",
}


@pytest.mark.parametrize("path", PATHS)
def test_names(path):
    module = importlib.import_module("gradspike.spiking" + path)
    assert [name for name in PATHS[path].split() if not hasattr(module, name)] == []


def test_the_name_of_a_function_hides_no_module():
    """`run` is a function of the package, and a module beside it."""
    import gradspike.spiking as hxsnn

    assert callable(hxsnn.run) and callable(hxsnn.map) and callable(hxsnn.check)
