"""Modules: plain tensors in and out, scriptable, picklable, deep-copyable.

Modules hold parameters and numbers only. Nothing is registered when they are constructed, and no state of a run is
kept in them: `step` takes and gives the state. Axes are `[time, batch, neuron]`.
"""

from gradspike.nn.aelif import AELIF
from gradspike.nn.batch_dropout import BatchDropout
from gradspike.nn.eventprop import EventPropLIF, EventPropSynapse, ExactEventPropLIF
from gradspike.nn.neurons import LI, LIF
from gradspike.nn.plasticity import PlasticityRule
from gradspike.nn.prepacked_synapse import PrepackedSynapse
from gradspike.nn.recorder import Recorder
from gradspike.nn.recurrent import RecurrentLIF
from gradspike.nn.sparse_synapse import SparseSynapse
from gradspike.nn.synapse import Synapse, default_scale
from gradspike.nn.synapse_lif import SynapseLIF

__all__ = [
    "AELIF",
    "LI",
    "LIF",
    "BatchDropout",
    "EventPropLIF",
    "EventPropSynapse",
    "ExactEventPropLIF",
    "PlasticityRule",
    "PrepackedSynapse",
    "Recorder",
    "RecurrentLIF",
    "SparseSynapse",
    "Synapse",
    "SynapseLIF",
    "default_scale",
]
