"""A readout learns three sine waves from Poisson spikes, after readings were aligned with the model."""

import sys
from functools import partial

import hxtorch
import hxtorch.snn as hxsnn
import torch
from hxtorch.snn.parameter import HXParameter, MixedHXModelParameter
from hxtorch.snn.transforms.weight_transforms import linear_saturating

MOCK = "--mock" in sys.argv[1:]
STEPS = 100


def network(inputs, outputs, neurons, **options):
    experiment = hxsnn.Experiment(mock=MOCK)
    synapse = hxsnn.Synapse(inputs, outputs, experiment=experiment, transform=partial(linear_saturating, scale=55.0))
    return experiment, synapse, neurons(outputs, experiment=experiment, **options)


def spikes_of(rate, channels):
    return (torch.rand(STEPS, 1, channels) < rate).float()


def resting_trace():
    """The mean reading of a neuron that gets no spikes."""
    experiment, synapse, neurons = network(1, 1, hxsnn.LIF, tau_mem=HXParameter(10e-6))
    traces = neurons(synapse(hxsnn.LIFObservables(spikes=torch.zeros(STEPS, 1, 1))))
    hxsnn.run(experiment, STEPS)
    return traces.membrane_cadc.mean().item()


def train(offset):
    leak = MixedHXModelParameter(0.0, 80)
    experiment, synapse, readout = network(
        128,
        3,
        hxsnn.LI,
        leak=leak,
        tau_mem=HXParameter(10e-6),
        tau_syn=HXParameter(10e-6),
        trace_offset=0.0 if MOCK else offset,
    )
    torch.nn.init.normal_(synapse.weight, 0.0, 0.1)
    time = torch.linspace(0, 2 * torch.pi, STEPS)
    targets = torch.stack([0.3 * torch.sin(k * time) for k in (1, 2, 3)], 1).unsqueeze(1)
    inputs = spikes_of(0.03, 128)
    optimizer = torch.optim.Adam(synapse.parameters(), lr=5e-3)
    losses = []
    for _ in range(40):
        handle = readout(synapse(hxsnn.LIFObservables(spikes=inputs)))
        hxsnn.run(experiment, STEPS)
        loss = torch.nn.functional.mse_loss(handle.membrane_cadc[:STEPS], targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


torch.manual_seed(3)
if not MOCK:
    hxtorch.init_hardware()
rest = resting_trace()
losses = train(rest)
if not MOCK:
    hxtorch.release_hardware()
print(f"resting reading {rest:.1f}, loss {losses[0]:.4f} -> {losses[-1]:.4f}")
assert abs(rest - 80) < 5 and losses[-1] < 0.5 * losses[0]
