"""Functions of the modules, on tensors `[time, batch, neuron]`."""

from gradspike.spiking.functional.deprecated import exp_cuba_li_integration, exp_cuba_lif_integration
from gradspike.spiking.functional.linear import linear, linear_exponential_clamp, linear_sparse
from gradspike.spiking.functional.neurons import (
    CuBaStepCode,
    cuba_aelif_integration,
    cuba_li_integration,
    cuba_lif_integration,
    eventprop_neuron,
    eventprop_synapse,
)
from gradspike.spiking.functional.threshold import SuperSpike, superspike_func, threshold
from gradspike.spiking.functional.unterjubel import Unterjubel, batch_dropout, input_neuron

__all__ = [
    "CuBaStepCode",
    "SuperSpike",
    "Unterjubel",
    "batch_dropout",
    "cuba_aelif_integration",
    "cuba_li_integration",
    "cuba_lif_integration",
    "eventprop_neuron",
    "eventprop_synapse",
    "exp_cuba_li_integration",
    "exp_cuba_lif_integration",
    "input_neuron",
    "linear",
    "linear_exponential_clamp",
    "linear_sparse",
    "superspike_func",
    "threshold",
]
