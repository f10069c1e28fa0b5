"""Modules, handles and experiments in the way of `hxtorch.spiking`, on the operators of gradspike.

A script that imports `gradspike.spiking as hxsnn` builds its network from modules that give handles, and `run` executes
them: with `Experiment(mock=True)` on the fused operators, with `mock=False` on a backend, by default the emulator, with
the gradients of the model. Tensors are `[time, batch, neuron]`, times in seconds. By default projections simulate with
float weights, as there; `hardware_weights=True` takes the integers of the chip.

Example:
    >>> import gradspike.spiking as hxsnn, torch
    >>> experiment = hxsnn.Experiment(mock=True)
    >>> synapse, neurons = hxsnn.Synapse(5, 20, experiment), hxsnn.LIF(20, experiment)
    >>> handle = neurons(synapse(hxsnn.LIFObservables(spikes=torch.zeros(38, 2, 5))))
    >>> hxsnn.run(experiment, 38)
    >>> handle.spikes.shape
    torch.Size([38, 2, 20])
"""

from gradspike.spiking import coordinates, datasets, functional, modules, morphology, transforms
from gradspike.spiking.experiment import ExecutionInstance, Experiment
from gradspike.spiking.files import check, export, map, save, to_module
from gradspike.spiking.handle import Handle, LIFObservables, LIObservables, SynapseHandle, TensorHandle
from gradspike.spiking.hardware import init_hardware, release_hardware
from gradspike.spiking.modules import (
    AELIF,
    LI,
    LIF,
    BatchDropout,
    EventPropLIF,
    EventPropSynapse,
    HXModule,
    HXModuleWrapper,
    InputNeuron,
    NeuronExp,
    Population,
    Projection,
    ReadoutNeuronExp,
    SparseSynapse,
    Synapse,
)
from gradspike.spiking.observables import AnalogObservable
from gradspike.spiking.parameter import (
    HXParameter,
    HXTransformedModelParameter,
    MixedHXModelParameter,
    ModelParameter,
    TrainableHXParameter,
    TrainableHXTransformedModelParameter,
    TrainableMixedHXModelParameter,
    TrainableModelParameter,
)
from gradspike.spiking.plasticity_rule import PlasticityRule, Timer
from gradspike.spiking.run import run
from gradspike.spiking.utils.from_nir import ConversionConfig, from_nir, from_nir_data
from gradspike.spiking.utils.to_nir import to_nir, to_nir_data

__all__ = [
    "AELIF",
    "LI",
    "LIF",
    "AnalogObservable",
    "BatchDropout",
    "ConversionConfig",
    "EventPropLIF",
    "EventPropSynapse",
    "ExecutionInstance",
    "Experiment",
    "HXModule",
    "HXModuleWrapper",
    "HXParameter",
    "HXTransformedModelParameter",
    "Handle",
    "InputNeuron",
    "LIFObservables",
    "LIObservables",
    "MixedHXModelParameter",
    "ModelParameter",
    "NeuronExp",
    "PlasticityRule",
    "Population",
    "Projection",
    "ReadoutNeuronExp",
    "SparseSynapse",
    "Synapse",
    "SynapseHandle",
    "TensorHandle",
    "Timer",
    "TrainableHXParameter",
    "TrainableHXTransformedModelParameter",
    "TrainableMixedHXModelParameter",
    "TrainableModelParameter",
    "check",
    "coordinates",
    "datasets",
    "export",
    "from_nir",
    "from_nir_data",
    "functional",
    "init_hardware",
    "map",
    "modules",
    "morphology",
    "release_hardware",
    "run",
    "save",
    "to_module",
    "to_nir",
    "to_nir_data",
    "transforms",
]
