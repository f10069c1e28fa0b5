"""The neurons as a loop of eager PyTorch operations over the time steps, in the dtype of the input.

In float32 its forward pass defines the bits that the operators must give; in float64 its backward pass, by autograd,
is the reference of the gradients. Parameters are numbers or tensors: coefficients of numbers are computed in double
and rounded once, those with a tensor by eager PyTorch.
"""

import torch

from reference import surrogate as surrogates


class SuperSpike(torch.autograd.Function):
    """[x > 0] with the derivative 1 / (alpha |x| + 1)^2."""

    @staticmethod
    def forward(ctx, x, alpha):
        ctx.save_for_backward(x)
        ctx.alpha = alpha
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient / (ctx.alpha * x.abs() + 1.0) ** 2, None


class Spike(torch.autograd.Function):
    """[x > 0] with a surrogate derivative by name."""

    @staticmethod
    def forward(ctx, x, name, alpha):
        ctx.save_for_backward(x)
        ctx.name, ctx.alpha = name, alpha
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        slope = surrogates.derivative(ctx.name, x.detach().double().numpy(), ctx.alpha)
        return gradient * torch.from_numpy(slope).to(x.dtype), None, None


class Inject(torch.autograd.Function):
    """The measured value with the gradient of the model's."""

    @staticmethod
    def forward(ctx, model, measured):
        return measured.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def is_number(parameter):
    return isinstance(parameter, (int, float))


def coefficients(p, dt, like):
    """k = dt/C, g = C/tau_mem, d = 1 - dt/tau_syn."""
    number = lambda value: torch.tensor(value, dtype=like.dtype)  # noqa: E731
    capacitance, tau_mem, tau_syn = p["membrane_capacitance"], p["tau_mem"], p["tau_syn"]
    k = number(dt / capacitance) if is_number(capacitance) else dt / capacitance
    if is_number(capacitance) and is_number(tau_mem):
        g = number(capacitance / tau_mem)
    else:
        tau = number(tau_mem) if is_number(tau_mem) else tau_mem
        g = capacitance * tau.reciprocal()
    d = number(1.0 - dt / tau_syn) if is_number(tau_syn) else 1.0 - dt / tau_syn
    return k, g, d


def refractory_steps(refractory_time, dt, like):
    steps = torch.as_tensor(refractory_time).to(torch.float64) / dt
    whole = steps.round()  # a time that float32 rounding moved off a whole number of steps is that number
    near = (steps - whole).abs() <= torch.where(whole * 2.0**-23 < 0.5, whole * 2.0**-23, 0.0)
    return torch.where(near, whole, steps.ceil()).to(like.dtype)


def _tensor(value, like):
    return torch.tensor(value, dtype=like.dtype) if is_number(value) else value


def _at(measured, t):
    """What was measured at step t, if anything."""
    return None if measured is None or t >= measured.shape[0] else measured[t]


def lif(
    x, p, dt=1e-6, alpha=50.0, state=None, measured_spikes=None, measured_membrane=None, surrogate="superspike"
):  # fmt: skip
    """Spikes, membrane, current `[time, batch, neuron]` and the state `[3, batch, neuron]`."""
    k, g, d = coefficients(p, dt, x)
    leak, reset, threshold = (_tensor(p[name], x) for name in ("leak", "reset", "threshold"))
    blocked_steps = refractory_steps(p["refractory_time"], dt, x)
    zeros = torch.zeros(x.shape[1:], dtype=x.dtype)
    i, v, c = (zeros, zeros + leak, zeros) if state is None else state.unbind(0)
    spikes, membrane, current = [], [], []
    for t in range(x.shape[0]):
        z_measured, v_measured = _at(measured_spikes, t), _at(measured_membrane, t)
        dv = k * (i + g * (leak - v))
        i = i * d + x[t]
        v = v + dv
        if v_measured is not None:
            v = Inject.apply(v, v_measured)
        over = v - threshold
        z = SuperSpike.apply(over, alpha) if surrogate == "superspike" else Spike.apply(over, surrogate, alpha)
        if z_measured is not None:
            z = Inject.apply(z, z_measured)
        if v_measured is None:
            fired = z.detach()
            v = torch.where(fired > 0, reset, v) if z_measured is None else (1 - fired) * v + fired * reset
        blocked = c > 0
        v = torch.where(blocked, reset, v)
        z = torch.where(blocked, 0.0, z)
        if v_measured is not None:
            v = Inject.apply(v, v_measured)
        if z_measured is not None:
            z = Inject.apply(z, z_measured)
        with torch.no_grad():
            c = (1 - z) * torch.clamp(c - blocked.to(x.dtype), min=0.0) + z * blocked_steps
        spikes.append(z)
        membrane.append(v)
        current.append(i)
    stack = lambda steps: torch.stack(steps) if steps else torch.zeros_like(x)  # noqa: E731
    return stack(spikes), stack(membrane), stack(current), torch.stack([i, v, c])


def li(x, p, dt=1e-6, state=None, measured_membrane=None):
    """Membrane, current `[time, batch, neuron]` and the state `[2, batch, neuron]`."""
    k, g, d = coefficients(p, dt, x)
    leak = _tensor(p["leak"], x)
    zeros = torch.zeros(x.shape[1:], dtype=x.dtype)
    i, v = (zeros, zeros + leak) if state is None else state.unbind(0)
    membrane, current = [], []
    for t in range(x.shape[0]):
        dv = k * (i + g * (leak - v))
        i = i * d + x[t]
        v = v + dv
        v_measured = _at(measured_membrane, t)
        if v_measured is not None:
            v = Inject.apply(v, v_measured)
        membrane.append(v)
        current.append(i)
    stack = lambda steps: torch.stack(steps) if steps else torch.zeros_like(x)  # noqa: E731
    return stack(membrane), stack(current), torch.stack([i, v])


def aelif_coefficients(p, dt, like):
    """G = g s, dw = 1 - dt/tau_adap, f = dt/tau_adap * a."""
    number = lambda value: torch.tensor(value, dtype=like.dtype)  # noqa: E731
    capacitance, tau_mem, slope = p["membrane_capacitance"], p["tau_mem"], p["exponential_slope"]
    if is_number(capacitance) and is_number(tau_mem) and is_number(slope):
        gain = number(capacitance / tau_mem * slope)
    else:
        gain = coefficients(p, dt, like)[1] * _tensor(slope, like)
    tau, strength = p["tau_adap"], p["subthreshold_adaptation_strength"]
    decay = number(1.0 - dt / tau) if is_number(tau) else 1.0 - dt / tau
    if is_number(tau) and is_number(strength):
        factor = number(dt / tau * strength)
    else:
        factor = (number(dt / tau) if is_number(tau) else dt / tau) * _tensor(strength, like)
    return gain, decay, factor


def aelif(
    x, p, dt=1e-6, alpha=50.0, state=None, leaky=True, fire=True, exponential=True, subthreshold_adaptation=True,
    spike_triggered_adaptation=True, measured_spikes=None, measured_membrane=None, measured_adaptation=None,
):  # fmt: skip
    """Spikes, membrane, current, adaptation `[time, batch, neuron]` and the state `[4, batch, neuron]`."""
    k, g, d = coefficients(p, dt, x)
    gain, decay, factor = aelif_coefficients(p, dt, x)
    names = ("leak", "reset", "threshold", "exponential_slope", "exponential_threshold")
    leak, reset, threshold, slope, onset = (_tensor(p[name], x) for name in names)
    increment = _tensor(p["spike_triggered_adaptation_increment"], x)
    blocked_steps = refractory_steps(p["refractory_time"], dt, x)
    adapts = subthreshold_adaptation or spike_triggered_adaptation
    zeros = torch.zeros(x.shape[1:], dtype=x.dtype)
    start = zeros + leak if leaky or subthreshold_adaptation else zeros
    i, v, c, w = (zeros, start, zeros, zeros) if state is None else state.unbind(0)
    traces = []
    for t in range(x.shape[0]):
        z_given, v_given, w_given = (
            m[t] if m is not None and t < m.shape[0] else None
            for m in (measured_spikes, measured_membrane, measured_adaptation)
        )
        drive = i
        if leaky:
            drive = drive + g * (leak - v)
        if exponential:
            drive = drive + gain * torch.exp((v - onset) / slope)
        if adapts:
            drive = drive - w
        dv = k * drive
        i = i * d + x[t]
        v = v + dv
        if v_given is not None:
            v = Inject.apply(v, v_given)
        z = zeros
        if fire:
            z = SuperSpike.apply(v - threshold, alpha)
            if z_given is not None:
                z = Inject.apply(z, z_given)
        if adapts:
            w = w * decay
            if subthreshold_adaptation:
                w = w + factor * (v - leak)
            if spike_triggered_adaptation:
                w = w + increment * z
            if w_given is not None:
                w = Inject.apply(w, w_given)
        if fire:
            if v_given is None:
                fired = z.detach()
                v = torch.where(fired > 0, reset, v) if z_given is None else (1 - fired) * v + fired * reset
            blocked = c > 0
            v = torch.where(blocked, reset, v)
            z = torch.where(blocked, 0.0, z)
            if v_given is not None:
                v = Inject.apply(v, v_given)
            if z_given is not None:
                z = Inject.apply(z, z_given)
            with torch.no_grad():
                c = (1 - z) * torch.clamp(c - blocked.to(x.dtype), min=0.0) + z * blocked_steps
        traces.append((z, v, i, w))
    stack = lambda k: torch.stack([step[k] for step in traces]) if traces else torch.zeros_like(x)  # noqa: E731
    return stack(0), stack(1), stack(2), stack(3), torch.stack([i, v, c, w])


class StraightThrough(torch.autograd.Function):
    """Integers of a weight with the gradient of the clipped weight."""

    @staticmethod
    def forward(ctx, weight, scale, bound):
        scaled = weight * scale
        ctx.save_for_backward(scaled.abs() <= bound)
        ctx.scale = scale
        return scaled.clamp(-bound, bound).round()

    @staticmethod
    def backward(ctx, gradient):
        (inside,) = ctx.saved_tensors
        return gradient * inside * ctx.scale, None, None


def recurrent_lif(spikes, input_weight, recurrent_weight, p, scales, bound=63.0, mask=None, state=None, **options):
    """A list-and-stack loop: integer products per step, the input's first, then one step of `lif`.

    Spikes, membrane, current `[time, batch, neuron]` and the state `[4, batch, neuron]`.
    """
    measured = {name: options.pop(name, None) for name in ("measured_spikes", "measured_membrane")}
    if mask is not None:
        recurrent_weight = torch.where(mask, recurrent_weight, torch.zeros_like(recurrent_weight))
    products = []
    for weight, scale in zip((input_weight, recurrent_weight), scales):
        inverse = (1.0 / torch.tensor(scale, dtype=torch.float32)).item()
        products.append((StraightThrough.apply(weight, scale, bound).t(), inverse))
    (q_in, inverse_in), (q_rec, inverse_rec) = products
    leak = _tensor(p["leak"], input_weight)
    zeros = torch.zeros(spikes.shape[1], input_weight.shape[0], dtype=input_weight.dtype)
    rest, last = (torch.stack([zeros, zeros + leak, zeros]), zeros) if state is None else (state[:3], state[3])
    traces = [[], [], []]
    for t in range(spikes.shape[0]):
        x = (spikes[t] @ q_in) * inverse_in + (last @ q_rec) * inverse_rec
        now = {n: v[t : t + 1] for n, v in measured.items() if v is not None and t < v.shape[0]}
        *step, rest = lif(x[None], p, state=rest, **options, **now)
        for trace, row in zip(traces, step):
            trace.append(row[0])
        last = step[0][0]
    empty = spikes.new_zeros(0, *zeros.shape)
    stacked = [torch.stack(trace) if trace else empty for trace in traces]
    return (*stacked, torch.cat([rest, last[None]]))
