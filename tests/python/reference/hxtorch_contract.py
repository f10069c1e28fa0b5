"""The published equations of hxtorch's neurons in float64, step by step; gradients by autograd where none are given.

Tensors are [time, batch, neuron], parameters numbers or tensors [neuron].
"""

import math

import torch

LARGEST = 63


class _SuperSpike(torch.autograd.Function):
    """[x > 0], with the derivative 1 / (alpha |x| + 1)^2."""

    @staticmethod
    def forward(ctx, x, alpha):
        ctx.save_for_backward(x)
        ctx.alpha = alpha
        return (x > 0).double()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient / (ctx.alpha * x.abs() + 1) ** 2, None


class _Inject(torch.autograd.Function):
    """The measured value, with the gradient to the computed one."""

    @staticmethod
    def forward(ctx, computed, measured):
        return measured.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def aelif(
    x,
    *,
    leak,
    tau_syn,
    capacitance,
    conductance,
    dt,
    reset=None,
    threshold=None,
    refractory_time=0.0,
    slope=None,
    exponential_threshold=None,
    strength=None,
    increment=None,
    tau_adap=None,
    alpha=50.0,
    leaky=True,
    fire=True,
    exponential=False,
    subthreshold=False,
    triggered=False,
    measured=None,
):
    """Current, membrane, adaptation and spikes, in the order of the steps 1 to 8 of the contract."""
    seen = measured or {}
    adapts = subthreshold or triggered
    i = w = z = c = torch.zeros_like(x[0])
    v = torch.zeros_like(x[0]) + (leak if leaky or subthreshold else 0.0)
    recorded = []
    for t in range(x.shape[0]):

        def inject(name, value, t=t):
            return _Inject.apply(value, seen[name][t]) if name in seen and t < len(seen[name]) else value

        has_membrane = "membrane" in seen and t < len(seen["membrane"])
        drive = i
        if leaky:
            drive = drive + conductance * (leak - v)
        if exponential:
            drive = drive + conductance * slope * torch.exp((v - exponential_threshold) / slope)
        if adapts:
            drive = drive - w
        dv = dt / capacitance * drive
        i = i * (1 - dt / tau_syn) + x[t]
        v = inject("membrane", v + dv)
        if fire:
            z = inject("spikes", _SuperSpike.apply(v - threshold, alpha))
        if adapts:
            w = w * (1 - dt / tau_adap)
            if subthreshold:
                w = w + dt / tau_adap * strength * (v - leak)
            if triggered:
                w = w + increment * z
            w = inject("adaptation", w)
        if fire and not has_membrane:
            v = (1 - z.detach()) * v + z.detach() * reset
        if fire and refractory_time:
            m = (c > 0).double()
            v = inject("membrane", (1 - m) * v + m * reset)
            z = inject("spikes", (1 - m) * z)
            c = (1 - z.detach()) * torch.clamp(c - m, min=0) + z.detach() * refractory_time / dt
        recorded.append((i, v, w, z))
    return tuple(torch.stack(trace) for trace in zip(*recorded))


def exponential_euler(x, *, leak, tau_mem, tau_syn, dt, reset=None, threshold=None, alpha=50.0):
    """Current, membrane and spikes of the deprecated neurons; without threshold, of the integrator."""
    a, b = math.exp(-dt / tau_mem), math.exp(-dt / tau_syn)
    i = z = torch.zeros_like(x[0])
    v = torch.zeros_like(x[0]) + leak
    recorded = []
    for t in range(x.shape[0]):
        v = a * (v - leak) + leak + (1 - a) * i
        i = b * i + x[t]
        if threshold is not None:
            z = _SuperSpike.apply(v - threshold, alpha)
            v = (1 - z.detach()) * v + z.detach() * reset
        recorded.append((i, v, z))
    return tuple(torch.stack(trace) for trace in zip(*recorded))


def eventprop_forward(x, *, leak, reset, threshold, tau_mem, tau_syn, dt):
    """Current, membrane and spikes; row 0 is the initial state, the last row of x is ignored."""
    current, membrane, spikes = (torch.zeros_like(x) for _ in range(3))
    membrane[0] = leak
    for t in range(x.shape[0] - 1):
        current[t + 1] = current[t] * (1 - dt / tau_syn) + x[t]
        v = membrane[t] + dt / tau_mem * (leak - membrane[t] + current[t + 1])
        spikes[t + 1] = (v > threshold).double()
        membrane[t + 1] = torch.where(v > threshold, torch.as_tensor(reset, dtype=v.dtype), v)
    return current, membrane, spikes


def eventprop_backward(gradient, current, spikes, *, leak, reset, threshold, tau_mem, tau_syn, dt):
    """Both slices of the gradient to the synapse for the gradient to the spikes."""
    lambda_v, lambda_i = torch.zeros_like(gradient), torch.zeros_like(gradient)
    for t in range(gradient.shape[0] - 1, 0, -1):
        a, b = leak - threshold + current[t - 1], leak - reset + current[t - 1]
        lambda_i[t - 1] = lambda_i[t] + dt / tau_syn * (lambda_v[t] - lambda_i[t])
        d = lambda_v[t] * (1 - dt / tau_mem)
        jump = _finite(b / a) * d + _finite(gradient[t] / a)
        lambda_v[t - 1] = torch.where(spikes[t] == 1, jump, d)
    return torch.stack((tau_syn * lambda_i, lambda_v - lambda_i))


def _finite(x):
    return torch.where(x.isfinite(), x, torch.zeros_like(x))


def exponential_clamp(weight, cap=1.5, start_weight=61.0, quantize=False):
    """The weight that `linear_exponential_clamp` multiplies with; the gradient passes through the rounding."""
    start = start_weight / LARGEST
    s = 1 / (1 - start)
    beyond = torch.sign(weight) * cap * (1 - torch.exp(-s * (weight.abs() / cap - start)) / s)
    result = torch.where(weight.abs() > start * cap, beyond, weight)
    if not quantize:
        return result
    step = cap / LARGEST
    return result + (torch.round(result / step) * step - result).detach()
