"""Several modules that are executed as one: how loops are described."""

import torch

import hxtorch
from hxtorch.spiking._handle import SynapseHandle
from hxtorch.spiking._modules import Neuron, Synapse


class HXModuleWrapper(torch.nn.Module):
    def __init__(self, experiment, **modules):
        super().__init__()
        assert modules and all(isinstance(module, (Synapse, Neuron)) for module in modules.values())
        assert all(module.experiment is experiment for module in modules.values()), "all of one experiment"
        hxtorch.log(f"HXModuleWrapper {' '.join(type(module).__name__ for module in modules.values())}")
        self.experiment = experiment
        self.modules = modules  # as it is there: nn.Module.modules() is gone

    def forward_func(self, *inputs, hw_data=None):
        raise NotImplementedError

    def forward(self):
        self.experiment.connect_wrapper(self)


def run_wrapped(wrapper, calls, runtime, batch):
    """Simulates the loop step by step: spikes of its neurons arrive in the next step."""
    own = {id(output): module for module, _, output in calls}
    outside = [handle for _, inputs, _ in calls for handle in inputs if id(handle) not in own]
    neurons = [call for call in calls if isinstance(call[0], Neuron)]
    states = {neuron: neuron.start(runtime, batch) for neuron, _, _ in neurons}
    last = {id(output): torch.zeros(batch, neuron.size, dtype=torch.float64) for neuron, _, output in neurons}
    inputs_of = {id(output): inputs for _, inputs, output in calls}
    for t in range(runtime + 1):
        fired = {}
        for neuron, inputs, output in neurons:
            x = torch.zeros(batch, neuron.size, dtype=torch.float64)
            for handle in inputs:
                if id(handle) in own:
                    (source,) = inputs_of[id(handle)]
                    assert id(source) in own, "a synapse from outside of the loop need not be wrapped"
                    x += last[id(source)] @ own[id(handle)].integers().T
                elif t < len(handle.graded_spikes):
                    x += handle.graded_spikes[t]
            fired[id(output)] = states[neuron].step(x)
        last = fired
    measured = tuple(states[m].measured() if isinstance(m, Neuron) else None for m, _, _ in calls)
    returned = wrapper.forward_func(*outside, hw_data=measured)
    assert isinstance(returned, tuple) and len(returned) == len(calls), "one handle per wrapped module"
    for handle, (module, _, output) in zip(returned, calls):
        assert isinstance(module, Neuron) or isinstance(handle, SynapseHandle)
        output.clone(handle)
