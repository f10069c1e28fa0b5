"""Modules of an experiment: projections, populations, and functions between them."""

from gradspike.spiking.modules.batch_dropout import BatchDropout
from gradspike.spiking.modules.event_prop_synapse import EventPropSynapse
from gradspike.spiking.modules.hx_module import HXModule
from gradspike.spiking.modules.hx_module_wrapper import HXModuleWrapper
from gradspike.spiking.modules.input_neuron import InputNeuron
from gradspike.spiking.modules.neuron import AELIF, LI, LIF, EventPropLIF
from gradspike.spiking.modules.neuron_exp import NeuronExp, ReadoutNeuronExp
from gradspike.spiking.modules.sparse_synapse import SparseSynapse
from gradspike.spiking.modules.synapse import Synapse
from gradspike.spiking.modules.types import (
    HXFunctionalModule,
    HXTorchBaseModule,
    InputPopulation,
    Population,
    Projection,
    ProjectionConnection,
)

__all__ = [
    "AELIF",
    "LI",
    "LIF",
    "BatchDropout",
    "EventPropLIF",
    "EventPropSynapse",
    "HXFunctionalModule",
    "HXModule",
    "HXModuleWrapper",
    "HXTorchBaseModule",
    "InputNeuron",
    "InputPopulation",
    "NeuronExp",
    "Population",
    "Projection",
    "ProjectionConnection",
    "ReadoutNeuronExp",
    "SparseSynapse",
    "Synapse",
]
