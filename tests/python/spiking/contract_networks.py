"""Experiments that the tests of `gradspike.spiking` share."""

import functools

import torch

import gradspike.spiking as hxsnn

UNIT = {"leak": 0.0, "reset": 0.0, "threshold": 1.0}
"""Potentials with rest at 0 and threshold 1."""


def spikes(steps=20, batch=2, size=5, rate=0.3, seed=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, batch, size, generator=generator) < rate).to(dtype)


def handle_of(tensor):
    return hxsnn.LIFObservables(spikes=tensor)


ANALOG = {"preset": "calibrated", "seed": 3}
"""A chip with variation."""


def emulator(**options):
    """An experiment on the ideal emulator."""
    return hxsnn.Experiment(**{"mock": False, "backend": "emulator", **options})


def scaled(scale=24.0):
    """A transform with keywords of its own, which a test may change."""
    return functools.partial(hxsnn.transforms.weight_transforms.linear_saturating, scale=scale)


class Network(torch.nn.Module):
    """Two layers with a readout; on a backend what it gives is measured."""

    def __init__(self, experiment, sizes=(5, 12, 3), scale=24.0, seed=0, readout=True, hidden=None, **options):
        super().__init__()
        torch.manual_seed(seed)
        inputs, neurons, classes = sizes
        self.experiment = experiment
        self.synapse = hxsnn.Synapse(inputs, neurons, experiment, transform=scaled(scale), **options)
        self.hidden = hxsnn.LIF(
            neurons,
            experiment,
            **{**UNIT, "tau_mem": 6e-6, "tau_syn": 6e-6, "membrane_capacitance": 6e-6},
            **(hidden or {}),
        )
        self.readout_synapse = hxsnn.Synapse(neurons, classes, experiment, transform=scaled(scale), **options)
        kind = hxsnn.LI if readout else hxsnn.LIF
        potentials = {"leak": 0.0} if readout else UNIT
        self.readout = kind(classes, experiment, **potentials)
        torch.nn.init.normal_(self.synapse.weight, 0.8, 0.5)
        torch.nn.init.normal_(self.readout_synapse.weight, 0.2, 0.5)

    def forward(self, x):
        """The handles of both populations, still empty."""
        hidden = self.hidden(self.synapse(handle_of(x)))
        return hidden, self.readout(self.readout_synapse(hidden))

    def run(self, x, runtime=None):
        handles = self(x)
        hxsnn.run(self.experiment, x.shape[0] if runtime is None else runtime)
        return handles


def tensors_of(handle):
    """The fields of a handle that are filled, by name."""
    fields = {name: getattr(handle, name) for name in handle.__dataclass_fields__}
    return {name: value for name, value in fields.items() if isinstance(value, torch.Tensor)}


def assert_same(ours, theirs):
    """The same fields are filled, with the same bits."""
    a, b = tensors_of(ours), tensors_of(theirs)
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def gradients(modules, *outputs):
    """Gradients of a weighted sum of the outputs to the parameters, in order."""
    loss = sum((o * torch.linspace(-1, 1, o.numel(), dtype=o.dtype).reshape(o.shape)).sum() for o in outputs)
    return torch.autograd.grad(loss, list(modules.parameters()), allow_unused=True)


def pair(**options):
    """The same network in simulation with the integers of the chip, and on the ideal emulator."""
    simulated = Network(hxsnn.Experiment(mock=True, hardware_weights=True), **options)
    measured = Network(emulator(hardware_weights=True), **options)
    return simulated, measured
