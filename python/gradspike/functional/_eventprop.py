"""EventProp: synapses and neurons whose backward pass is driven by spikes alone."""

from typing import NamedTuple, Optional, Tuple, Union

import torch
from torch import Tensor

from gradspike.functional._arguments import parameter
from gradspike.functional._lif import LIFOutput


class EventPropLIFOutput(NamedTuple):
    """What `eventprop_lif` gives. Outputs that were not asked for are empty tensors of shape `[0]`."""

    spikes: Tensor
    """Spikes `[time, batch, neuron]`, 0 or 1 (measured ones may be counts)."""
    membrane: Tensor
    """Membrane after the reset `[time, batch, neuron]`; carries no gradient."""
    current: Tensor
    """Synaptic current `[time, batch, neuron]`; carries no gradient."""


def eventprop_graded_spikes(
    spikes: Tensor,
    weight: Tensor,
    scale: Union[float, Tensor] = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
    gradient: str = "clipped",
    units: str = "model",
    projection: str = "",
) -> Tuple[Tensor, Tensor]:
    """`graded_spikes` with the second channel of EventProp: `(graded_spikes, adjoint)`.

    The graded spikes are those of `graded_spikes`, bit for bit. `adjoint` holds zeros and takes no memory; a neuron of
    the EventProp family reads both and sends a gradient back through each. With G0 the gradient to the graded spikes
    and G1 that to `adjoint`::

        dL/dweight = straight-through of the sum over time and batch of G0[t, b, post] * spikes[t, b, pre]
        dL/dspikes = G1 @ q * factor

    Args:
        spikes: Counts `[..., in_features]`, as in `graded_spikes`.
        weight: `[out_features, in_features]`; float32 or float64, half and bfloat16 are widened to float32.
        scale: Model weight to LSB; finite and above 0, taken as float32. A tensor without dimensions is differentiable
            and not read: where it is not finite and above 0, the result is NaN.
        min_weight: Lower bound [LSB]; an integer, -32767 <= min_weight <= 0.
        max_weight: Upper bound [LSB]; an integer, 0 <= max_weight <= 32767.
        rounding: "half_even", "half_away", or "none": the float product, see `graded_spikes`.
        gradient: Straight-through rule to the weight: "clipped", "identity" or "returning", see `linear_saturating`.
        units: "model" or "lsb".
        projection: Local name of the projection on the chip; does not change the result.

    Returns:
        `(graded_spikes, adjoint)`, both `[..., out_features]`. `adjoint` is one zero seen through strides of 0: it
        cannot be written to in place. It asks for a gradient where spikes does: in a first layer nobody computes it.

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range; the sentence names it.

    Note:
        Differentiable in spikes and weight. Whatever else reads the graded spikes sends no gradient to the spikes
        unless it reads `adjoint` too: with a readout of `li`, use
        `li(graded_spikes + torch.cat([adjoint.diff(dim=0), -adjoint[-1:]]))`, which gives the spikes the difference of
        the gradient from one step to the next, minus the derivative to the spike time (for training: the network
        reader takes `li(graded_spikes)`). The weight gradient is summed
        over the batch while it is computed. Deterministic; no synchronisation. In autocast regions it computes in
        float32.

    Source:
        Wunderlich and Pehle 2021, doi 10.1038/s41598-021-91786-z.

    Example:
        >>> spikes = torch.tensor([[[1.0, 0.0]], [[1.0, 2.0]]])
        >>> graded, adjoint = eventprop_graded_spikes(spikes, torch.tensor([[0.26, -0.5]]), scale=64.0, units="lsb")
        >>> graded.flatten(), adjoint.flatten()
        (tensor([ 17., -47.]), tensor([0., 0.]))
    """
    if not torch.jit.is_scripting() and isinstance(scale, Tensor):
        overload = torch.ops.gradspike.eventprop_graded_spikes.tensor_scale
        scaled: Tuple[Tensor, Tensor] = overload(
            spikes,
            weight,
            scale,
            min_weight,
            max_weight,
            rounding=rounding,
            gradient=gradient,
            units=units,
            projection=projection,
        )
        return scaled
    assert not isinstance(scale, Tensor)  # TorchScript: torch.ops takes either
    graded: Tuple[Tensor, Tensor] = torch.ops.gradspike.eventprop_graded_spikes(
        spikes,
        weight,
        scale,
        min_weight,
        max_weight,
        rounding=rounding,
        gradient=gradient,
        units=units,
        projection=projection,
    )
    return graded


def eventprop_lif(
    input: Tensor,
    adjoint: Tensor,
    leak: Union[float, Tensor] = 0.0,
    reset: Union[float, Tensor] = 0.0,
    threshold: Union[float, Tensor] = 1.0,
    tau_mem: Union[float, Tensor] = 10e-6,
    tau_syn: Union[float, Tensor] = 10e-6,
    dt: float = 1e-6,
    outputs: str = "spikes",
    measured_spikes: Optional[Tensor] = None,
    measured_membrane: Optional[Tensor] = None,
    population: str = "",
) -> EventPropLIFOutput:
    """LIF neurons of hxtorch's EventPropLIF: its integrator forward, its EventProp adjoint backward.

    Row 0 is the initial state and a new current drives the membrane in the same step; there is no refractory time::

        i[0] = 0, v[0] = leak, z[0] = 0
        i[t] = i[t-1] * (1 - dt/tau_syn) + input[t-1]
        v[t] = v[t-1] + dt/tau_mem * (leak - v[t-1] + i[t])
        z[t] = v[t] > threshold;    v[t] = reset where z[t]

    Backward, for t = T-1 .. 1 from 0, with g the gradient to the spikes::

        li[t-1] = li[t] + dt/tau_syn * (lv[t] - li[t])
        lv[t-1] = lv[t] * (1 - dt/tau_mem)                        without a spike at t
        lv[t-1] = b/a * lv[t] * (1 - dt/tau_mem) + g[t]/a          with a spike at t
        a = leak - threshold + i[t-1],    b = leak - reset + i[t-1]

    The gradient to `input` is tau_syn * li, that to `adjoint` is lv - li. This is not the derivative of a loss on the
    spike times in these steps, and it differs from the neurons of `lif`: `exact_eventprop_lif` has neither problem.
    Kept for networks that were made with hxtorch.

    Args:
        input: Graded spikes `[time, batch, neuron]` of `eventprop_graded_spikes`; float32 or float64, half and bfloat16
            are widened. The last row is ignored.
        adjoint: The second result of `eventprop_graded_spikes` (sums of them for several projections), of the shape of
            input. Its values are not read.
        leak: Leak potential [model units]; the membrane starts here. A number or a tensor, 0-dim or `[neuron]`, as the
            other parameters; see `lif` for the rule of the coefficients.
        reset: Reset potential [model units].
        threshold: Threshold [model units]; the comparison is strict.
        tau_mem: Membrane time constant [s], above 0.
        tau_syn: Synaptic time constant [s], above 0.
        dt: Time step [s], finite and above 0.
        outputs: Names joined by "+", of "spikes", "membrane", "current": the traces to return.
        measured_spikes: Spikes that a chip gave, `[steps, batch, neuron]` with at most as many steps as input: they
            are returned as measured and the backward jumps at them, with the current that the model makes of the
            input. A count above 1 is one jump. The model goes on after the last measured step.
        measured_membrane: Membrane that a chip gave, likewise; there is no reset in it.
        population: Local name of the population on the chip; does not change the result.

    Returns:
        EventPropLIFOutput(spikes, membrane, current). There is no state to go on from: row 0 is always the initial
        one.

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range; the sentence names it.
        TypeError: a parameter is neither a number nor a tensor.

    Note:
        Differentiable in input and adjoint, through the spikes alone: membrane, current and the parameters carry no
        gradient. At a spike with a = 0, or where a quotient overflows, that quotient counts as 0. Deterministic; no
        synchronisation.

    Source:
        Wunderlich and Pehle 2021, doi 10.1038/s41598-021-91786-z; the scheme of hxtorch.spiking.

    Example:
        >>> input = torch.zeros(8, 1, 1)
        >>> input[0] = 15.0
        >>> eventprop_lif(input, torch.zeros_like(input)).spikes.flatten()
        tensor([0., 1., 1., 1., 1., 0., 1., 0.])
    """
    spikes, membrane, current = torch.ops.gradspike.eventprop_lif(
        input,
        adjoint,
        parameter(leak, "eventprop_lif: leak"),
        parameter(reset, "eventprop_lif: reset"),
        parameter(threshold, "eventprop_lif: threshold"),
        parameter(tau_mem, "eventprop_lif: tau_mem"),
        parameter(tau_syn, "eventprop_lif: tau_syn"),
        dt=dt,
        outputs=outputs,
        measured_spikes=measured_spikes,
        measured_membrane=measured_membrane,
        population=population,
    )
    return EventPropLIFOutput(spikes, membrane, current)


def exact_eventprop_lif(
    input: Tensor,
    adjoint: Tensor,
    leak: Union[float, Tensor] = 0.0,
    reset: Union[float, Tensor] = 0.0,
    threshold: Union[float, Tensor] = 1.0,
    tau_mem: Union[float, Tensor] = 10e-6,
    tau_syn: Union[float, Tensor] = 10e-6,
    membrane_capacitance: Union[float, Tensor] = 10e-6,
    refractory_time: Union[float, Tensor] = 0.0,
    dt: float = 1e-6,
    outputs: str = "spikes",
    initial_state: Optional[Tensor] = None,
    measured_spikes: Optional[Tensor] = None,
    measured_membrane: Optional[Tensor] = None,
    population: str = "",
) -> LIFOutput:
    """The neurons of `lif`, bit for bit, with the gradients of their spike times: EventProp for what is deployed.

    Forward: `lif`. Backward, with `k = dt/C`, `g = C/tau_mem`, `d = 1 - dt/tau_syn`, and Li, Lv the derivatives of the
    loss to current and membrane after a step: exact for the step of `lif` where there is no spike, and at a spike the
    jump of EventProp::

        Li[t-1] = d * Li[t] + k * Lv;    Lv[t-1] = (1 - k * g) * Lv
        Lv = Lv[t]                                                        without a spike at t
        Lv = b/a * Lv[after] + G/(k * a)                                  with a spike at t
        a = i[t-1] + g * (leak - threshold),    b = i + g * (leak - reset)

    "After" is the end of the refractory time, b belongs to that time, and in between Lv is 0. G is the gradient to the
    spike: **minus the derivative of the loss to the spike time, in steps**. The gradient to `input` is Li, that to
    `adjoint` is k * Lv - (1 - d) * Li, which makes the G of the spikes that `eventprop_graded_spikes` read. For small
    dt these are the derivatives of the spike times in continuous time. Derivation: csrc/math/eventprop.h.

    Args:
        input: Graded spikes `[time, batch, neuron]` of `eventprop_graded_spikes`; float32 or float64, half and bfloat16
            are widened.
        adjoint: The second result of `eventprop_graded_spikes` (sums of them for several projections), of the shape of
            input. Its values are not read.
        leak: Leak potential [model units]; the membrane starts here. A number or a tensor, 0-dim or `[neuron]`, as the
            other parameters; see `lif` for the rule of the coefficients.
        reset: Reset potential [model units].
        threshold: Threshold [model units]; the comparison is strict.
        tau_mem: Membrane time constant [s], above 0.
        tau_syn: Synaptic time constant [s], above 0.
        membrane_capacitance: C [s times model conductance], above 0.
        refractory_time: Refractory time [s], at least 0; fractions of a step round up.
        dt: Time step [s], finite and above 0.
        outputs: Names joined by "+", of "spikes", "membrane", "current": the traces to return.
        initial_state: `[3, batch, neuron]` as in `LIFOutput.state`, to go on from; no gradient.
        measured_spikes: Spikes that a chip gave, `[steps, batch, neuron]` with at most as many steps as input, as in
            `lif`: the backward jumps at them, with the current that the model makes of the input. A count above 1 is
            one jump.
        measured_membrane: Membrane that a chip gave, likewise; there is no reset in it.
        population: Local name of the population on the chip; does not change the result.

    Returns:
        LIFOutput(spikes, membrane, current, state), the bits of `lif`.

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range; the sentence names it.
        TypeError: a parameter is neither a number nor a tensor.

    Note:
        Differentiable in input and adjoint, through the spikes alone: membrane, current, state and the parameters carry
        no gradient, so a run cut into parts has the gradients of each part. A loss on spikes that is not one on spike
        times (a count, a filtered train) has to be given as one: G is the loss of the train with the spike one step
        earlier minus the loss as it is. A jump that is not finite counts as 0. Deterministic; no synchronisation.

    Source:
        Wunderlich and Pehle 2021, doi 10.1038/s41598-021-91786-z.

    Example:
        >>> input = torch.zeros(4, 1, 1)
        >>> input[0] = 20.0
        >>> exact_eventprop_lif(input, torch.zeros_like(input)).spikes.flatten()
        tensor([0., 1., 1., 1.])
    """
    spikes, membrane, current, state = torch.ops.gradspike.exact_eventprop_lif(
        input,
        adjoint,
        parameter(leak, "exact_eventprop_lif: leak"),
        parameter(reset, "exact_eventprop_lif: reset"),
        parameter(threshold, "exact_eventprop_lif: threshold"),
        parameter(tau_mem, "exact_eventprop_lif: tau_mem"),
        parameter(tau_syn, "exact_eventprop_lif: tau_syn"),
        parameter(membrane_capacitance, "exact_eventprop_lif: membrane_capacitance"),
        parameter(refractory_time, "exact_eventprop_lif: refractory_time"),
        dt=dt,
        outputs=outputs,
        initial_state=initial_state,
        measured_spikes=measured_spikes,
        measured_membrane=measured_membrane,
        population=population,
    )
    return LIFOutput(spikes, membrane, current, state)
