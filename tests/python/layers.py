"""Every module of gradspike.nn, built with fixed arguments, and the spikes that it is tried on."""

import torch

from gradspike import nn

TAU = 10e-6


def per_neuron(center, size):
    return torch.nn.Parameter(center * torch.linspace(0.75, 1.25, size))


class Sequence(torch.nn.Module):
    """Layers of the EventProp family hand pairs on."""

    def __init__(self, synapse, neurons):
        super().__init__()
        self.synapse, self.neurons = synapse, neurons

    def forward(self, spikes):
        return self.neurons(*self.synapse(spikes))


# By the name of the class; the input has 5 neurons.
LAYERS = {
    "Synapse": lambda: nn.Synapse(5, 7, name="layer"),
    "Synapse with mask": lambda: nn.Synapse(5, 7, mask=torch.arange(35).reshape(7, 5) % 3 > 0),
    "SparseSynapse": lambda: nn.SparseSynapse(torch.arange(35).reshape(5, 7) % 3 > 0),
    "PrepackedSynapse": lambda: nn.Synapse(5, 7).prepacked(),
    "LIF": lambda: nn.LIF(5, membrane_capacitance=1e-6),
    "LIF with parameters": lambda: nn.LIF(
        5, membrane_capacitance=1e-6, tau_mem=per_neuron(TAU, 5), leak=torch.linspace(0.0, 0.2, 5)
    ),
    "LI": lambda: nn.LI(5),
    "LI with parameters": lambda: nn.LI(5, tau_syn=per_neuron(TAU, 5)),
    "AELIF": lambda: nn.AELIF(5, membrane_capacitance=1e-6),
    "AELIF with parameters": lambda: nn.AELIF(5, membrane_capacitance=1e-6, tau_adap=per_neuron(1e-4, 5)),
    "SynapseLIF": lambda: nn.SynapseLIF(5, 7, tau_mem=per_neuron(TAU, 7)),
    "RecurrentLIF": lambda: nn.RecurrentLIF(5, 7, mask=~torch.eye(7, dtype=torch.bool)),
    "EventPropSynapse, EventPropLIF": lambda: Sequence(nn.EventPropSynapse(5, 7), nn.EventPropLIF(7)),
    "EventPropSynapse, ExactEventPropLIF": lambda: Sequence(nn.EventPropSynapse(5, 7), nn.ExactEventPropLIF(7)),
    "BatchDropout": lambda: nn.BatchDropout(5).eval(),
}


def make(name):
    torch.manual_seed(11)
    return LAYERS[name]()


def spikes(time=30, batch=3):
    return (torch.rand(time, batch, 5, generator=torch.Generator().manual_seed(12)) < 0.3).float()
