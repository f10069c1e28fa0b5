"""Parameters and comparisons shared by the tests of the neurons."""

import torch

NUMBERS = {
    "leak": 0.13,
    "reset": -0.21,
    "threshold": 1.07,
    "tau_mem": 9.7e-6,
    "tau_syn": 7.3e-6,
    "membrane_capacitance": 11.1e-6,
    "refractory_time": 0.0,
}
TRAINABLE = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance")
LI_NAMES = ("leak", "tau_mem", "tau_syn", "membrane_capacitance")
SPREAD = 0.3  # heterogeneous parameters lie within +-30 % of the number


def heterogeneous(names, neurons, dtype=torch.float32):
    """Each parameter of `names` as a tensor with one value per neuron, the others as numbers."""
    return {
        name: (value * (1 - SPREAD + 2 * SPREAD * torch.rand(neurons))).to(dtype) if name in names else value
        for name, value in NUMBERS.items()
    }


def li_parameters(parameters):
    return {name: parameters[name] for name in LI_NAMES}


def to_double(parameters):
    """The same parameters for a float64 run: float32 tensors are widened, numbers stay numbers."""
    return {n: v.detach().double() if isinstance(v, torch.Tensor) else v for n, v in parameters.items()}


def to_numpy(parameters):
    return {n: v.detach().double().numpy() if isinstance(v, torch.Tensor) else v for n, v in parameters.items()}


def drive(time, batch, neurons, dtype=torch.float32):
    """Input that makes the neurons of NUMBERS fire about every tenth step: kicks on a lattice of 1/64."""
    kicks = (torch.rand(time, batch, neurons) < 0.25) * torch.randint(-160, 320, (time, batch, neurons)) / 64.0
    return (kicks + 0.4).to(dtype)


def relative_error(actual, expected):
    """Largest deviation over the largest value: a bound for gradients, which cancel element by element."""
    scale = expected.abs().max().clamp(min=1e-30)
    return ((actual.double() - expected.double()).abs().max() / scale).item()
