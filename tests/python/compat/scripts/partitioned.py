"""784-256-10 in five execution instances, with a synapse of its own: exponential clamp and the grid of the chip."""

import sys
from functools import partial

import hxtorch
import hxtorch.spiking as hxsnn
import hxtorch.spiking.functional as F
import torch
from hxtorch.spiking.transforms import weight_transforms

MOCK = "--mock" in sys.argv[1:]
STEPS, WEIGHT_SCALE = 30, 60.0


class ClampedSynapse(hxsnn.Synapse):
    def __init__(self, *args, cap, rolloff, quantize, **kwargs):
        super().__init__(*args, **kwargs)
        self.cap, self.rolloff, self.quantize = cap, rolloff, quantize

    def forward_func(self, inputs):
        graded = F.linear_exponential_clamp(
            inputs.spikes, self.weight, cap=self.cap, start_weight=self.rolloff, quantize=self.quantize
        )
        return hxsnn.SynapseHandle(graded_spikes=graded)


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.experiment = hxsnn.Experiment(mock=MOCK, dt=1e-6)
        self.experiment.inter_batch_entry_wait = 125 * 50
        options = {
            "experiment": self.experiment,
            "cap": 63.0 / WEIGHT_SCALE,
            "rolloff": 0.0,
            "quantize": True,
            "transform": partial(weight_transforms.linear_saturating, scale=WEIGHT_SCALE),
        }
        neurons = {
            "experiment": self.experiment,
            "tau_syn": hxsnn.HXParameter(5.7e-6),
            "tau_mem": hxsnn.HXParameter(6e-6),
            "leak": hxsnn.MixedHXModelParameter(0.0, 80),
            "reset": hxsnn.MixedHXModelParameter(0.0, 80),
            "threshold": hxsnn.MixedHXModelParameter(1.0, 120),
            "alpha": 50,
            "trace_scale": 1.0 / 40.0,
            "shift_cadc_to_first": True,
        }
        eight = hxsnn.morphology.SingleCompartmentNeuron(size=8, expand_horizontally=False)
        two = hxsnn.morphology.SingleCompartmentNeuron(size=2, expand_horizontally=False)
        self.into, self.hidden = torch.nn.ModuleList(), torch.nn.ModuleList()
        for _ in range(4):
            instance = hxsnn.ExecutionInstance()
            self.into.append(ClampedSynapse(784, 64, execution_instance=instance, **options))
            self.hidden.append(hxsnn.LIF(size=64, execution_instance=instance, neuron_structure=eight, **neurons))
        instance = hxsnn.ExecutionInstance()
        self.out = torch.nn.ModuleList(ClampedSynapse(64, 10, execution_instance=instance, **options) for _ in range(4))
        self.readout = hxsnn.LI(size=10, execution_instance=instance, neuron_structure=two, **neurons)
        for synapse in self.into:
            torch.nn.init.normal_(synapse.weight.data, 0.04, 0.2)
        for synapse in self.out:
            torch.nn.init.normal_(synapse.weight.data, 0.01, 0.2)

    def forward(self, spikes):
        self.handles = [n(s(hxsnn.LIFObservables(spikes=spikes))) for s, n in zip(self.into, self.hidden)]
        for synapse, handle in zip(self.out, self.handles):
            output = self.readout(synapse(handle))
        hxsnn.run(self.experiment, spikes.shape[0] + 2)
        return output.membrane_cadc


def images(count):
    """Digits of ten shapes: each class lights other pixels, brighter ones spike earlier."""
    generator = torch.Generator().manual_seed(1)
    shapes = (torch.rand(10, 784, generator=generator) < 0.15).float()
    classes = torch.arange(count) % 10
    bright = (shapes[classes] * torch.rand(count, 784, generator=generator)).clamp(0, 1)
    time = ((1 - bright) * (STEPS - 1)).long()
    spikes = torch.zeros(STEPS, count, 784).scatter_(0, time.unsqueeze(0), (bright > 0).float().unsqueeze(0))
    return spikes, classes


torch.manual_seed(0)
if not MOCK:
    hxtorch.init_hardware()
network = Network()
optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
spikes, classes = images(20)
losses = []
for _ in range(4 if MOCK else 2):
    scores = torch.log_softmax(3 * torch.amax(network(spikes), 0), 1)
    loss = torch.nn.functional.nll_loss(scores, classes)
    loss = loss + 2.5e-3 * sum(handle.spikes.sum(0).pow(4).mean() for handle in network.handles) / 4
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
if not MOCK:
    hxtorch.release_hardware()
rate = sum(handle.spikes.sum().item() for handle in network.handles) / 20 / 256
print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}, {rate:.2f} spikes per neuron")
assert losses[-1] < losses[0] and rate > 0
