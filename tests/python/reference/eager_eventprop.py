"""The scheme of eventprop_lif as eager PyTorch over the time steps, forward and backward, in the dtype of the input.

In float32 it defines the bits that the operator must give. Parameters are numbers or tensors, coefficients as in
`reference.eager`: of numbers in double and rounded once, of tensors by eager PyTorch.
"""

import torch


def _tensor(value, like):
    return torch.tensor(value, dtype=like.dtype) if isinstance(value, (int, float)) else value


def coefficients(p, dt, like):
    """dt/tau_mem, 1 - dt/tau_mem, dt/tau_syn, 1 - dt/tau_syn."""
    gains = [_tensor(dt / p[name], like) for name in ("tau_mem", "tau_syn")]
    decays = [_tensor(1.0 - dt / p[name], like) for name in ("tau_mem", "tau_syn")]
    return gains[0], decays[0], gains[1], decays[1]


def eventprop_lif(x, p, dt=1e-6):
    """Spikes, membrane and current."""
    gain, _, _, current_decay = coefficients(p, dt, x)
    leak, reset, threshold = (_tensor(p[name], x) for name in ("leak", "reset", "threshold"))
    i = torch.zeros(x.shape[1:], dtype=x.dtype)
    v, z = i + leak, torch.zeros_like(i)
    rows = [(z, v, i)]
    for t in range(x.shape[0] - 1):
        i = i * current_decay + x[t]
        v = v + gain * (leak - v + i)
        z = (v > threshold).to(x.dtype)
        v = torch.where(z > 0, reset, v)
        rows.append((z, v, i))
    return tuple(torch.stack(trace)[: x.shape[0]] for trace in zip(*rows))


def gradients(spikes, current, grad_spikes, p, dt=1e-6):
    """dL/dinput and dL/dadjoint."""
    _, decay, gain, _ = coefficients(p, dt, spikes)
    leak, reset, threshold, tau_syn = (_tensor(p[name], spikes) for name in ("leak", "reset", "threshold", "tau_syn"))
    to_input, to_adjoint = torch.zeros_like(spikes), torch.zeros_like(spikes)
    lambda_i, lambda_v = torch.zeros_like(to_input[:1].sum(0)), torch.zeros_like(to_input[:1].sum(0))
    for t in range(spikes.shape[0] - 1, 0, -1):
        a, b = leak - threshold + current[t - 1], leak - reset + current[t - 1]
        jump, drive = b / a, grad_spikes[t] / a
        jump, drive = torch.where(jump.isfinite(), jump, 0.0), torch.where(drive.isfinite(), drive, 0.0)
        lambda_i = lambda_i + gain * (lambda_v - lambda_i)
        lambda_v = lambda_v * decay
        lambda_v = torch.where(spikes[t] > 0, jump * lambda_v + drive, lambda_v)
        to_input[t - 1], to_adjoint[t - 1] = tau_syn * lambda_i, lambda_v - lambda_i
    return to_input, to_adjoint
