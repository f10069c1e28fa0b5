"""Leaky integrate-and-fire neurons and leaky integrators, fused over time."""

from typing import NamedTuple, Optional, Union

import torch
from torch import Tensor

from gradspike.functional._arguments import parameter


class LIFOutput(NamedTuple):
    """What `lif` gives. Outputs that were not asked for are empty tensors of shape `[0]`."""

    spikes: Tensor
    """Spikes `[time, batch, neuron]`, 0 or 1 (measured ones may be counts)."""
    membrane: Tensor
    """Membrane after the reset `[time, batch, neuron]`."""
    current: Tensor
    """Synaptic current `[time, batch, neuron]`."""
    state: Tensor
    """State after the last step `[3, batch, neuron]`: current, membrane, remaining refractory steps."""


class LIOutput(NamedTuple):
    """What `li` gives. Outputs that were not asked for are empty tensors of shape `[0]`."""

    membrane: Tensor
    """Membrane `[time, batch, neuron]`."""
    current: Tensor
    """Synaptic current `[time, batch, neuron]`."""
    state: Tensor
    """State after the last step `[2, batch, neuron]`: current, membrane."""


def lif(
    input: Tensor,
    leak: Union[float, Tensor] = 0.0,
    reset: Union[float, Tensor] = 0.0,
    threshold: Union[float, Tensor] = 1.0,
    tau_mem: Union[float, Tensor] = 10e-6,
    tau_syn: Union[float, Tensor] = 10e-6,
    membrane_capacitance: Union[float, Tensor] = 10e-6,
    refractory_time: Union[float, Tensor] = 0.0,
    dt: float = 1e-6,
    surrogate: str = "superspike",
    alpha: float = 50.0,
    outputs: str = "spikes",
    initial_state: Optional[Tensor] = None,
    measured_spikes: Optional[Tensor] = None,
    measured_membrane: Optional[Tensor] = None,
    population: str = "",
) -> LIFOutput:
    """Current-based leaky integrate-and-fire neurons, the whole run in one call.

    With the old current i and membrane v, `k = dt/C`, `g = C/tau_mem`, `d = 1 - dt/tau_syn` and C the capacitance::

        v' = v + k * (i + g * (leak - v))
        i' = i * d + input[t]
        z  = v' > threshold, and not refractory
        v' = reset where v' > threshold or the neuron is refractory

    A spike blocks the next `ceil(refractory_time / dt)` steps. Input at step t reaches the current at t and the
    membrane at t + 1. No gradient flows through z into the reset. The gain of an input is dt/C: `C = tau_mem`, as in
    the defaults, is unit gain.

    A parameter is a number or a tensor, 0-dim or `[neuron]`. Coefficients of numbers alone are computed in double and
    rounded once; where a tensor takes part, in the tensor's arithmetic in the order of eager PyTorch. A 0-dim float64
    tensor on the CPU counts as a number, except where `torch.vmap` maps it. The ranges below are checked for numbers;
    those in a tensor are not read.

    Args:
        input: Summed graded spikes `[time, batch, neuron]`; float32 or float64, half and bfloat16 are widened.
        leak: Leak potential [model units]; the membrane starts here.
        reset: Reset potential [model units].
        threshold: Threshold [model units]; the comparison is strict.
        tau_mem: Membrane time constant [s], above 0.
        tau_syn: Synaptic time constant [s], above 0.
        membrane_capacitance: C [s times model conductance], above 0.
        refractory_time: Refractory time [s], at least 0; fractions of a step round up. No gradient.
        dt: Time step [s], finite and above 0.
        surrogate: Derivative of z at `x = v' - threshold`, by name; all but "superspike" have area 1.
            "superspike": `1 / (alpha * |x| + 1)**2`; "fast_sigmoid": `alpha / 2 / (alpha * |x| + 1)**2`;
            "sigmoid": `alpha * s * (1 - s)` with the logistic function s of alpha * x;
            "arctan": `alpha / 2 / (1 + (pi / 2 * alpha * x)**2)`; "triangular": `alpha * max(0, 1 - alpha * |x|)`;
            "gaussian": `alpha / sqrt(2 * pi) * exp(-(alpha * x)**2 / 2)`; "box": alpha within 1 / (2 * alpha) of the
            threshold, else 0 (straight through). Sources: csrc/math/surrogate.h.
        alpha: Steepness of the surrogate, finite and at least 0.
        outputs: Names joined by "+", of "spikes", "membrane", "current": the traces to return.
        initial_state: `[3, batch, neuron]` as in `LIFOutput.state`, to go on from; default: current 0, membrane at
            leak, not refractory.
        measured_spikes: Spikes that a chip gave, `[steps, batch, neuron]` with at most as many steps as input: they
            replace the model's values, gradients stay the model's. After the last measured step the model goes on from
            what was measured.
        measured_membrane: Membrane that a chip gave, likewise.
        population: Local name of the population on the chip; does not change the result.

    Returns:
        LIFOutput(spikes, membrane, current, state).

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range; the sentence names it.
        TypeError: a parameter is neither a number nor a tensor.

    Note:
        Differentiable in input, initial_state (current and membrane) and every parameter but refractory_time.
        Deterministic; no synchronisation. T steps at once and T times one step are the same bits.

    Source:
        Forward Euler of Billaudelle et al. 2022, doi 10.1016/j.neunet.2022.04.007; SuperSpike of Zenke and Ganguli
        2018, doi 10.1162/neco_a_01086.

    Example:
        >>> input = torch.zeros(4, 1, 1)
        >>> input[0] = 20.0
        >>> lif(input, outputs="spikes+membrane").spikes.flatten()
        tensor([0., 1., 1., 1.])
    """
    spikes, membrane, current, state = torch.ops.gradspike.lif(
        input,
        parameter(leak, "lif: leak"),
        parameter(reset, "lif: reset"),
        parameter(threshold, "lif: threshold"),
        parameter(tau_mem, "lif: tau_mem"),
        parameter(tau_syn, "lif: tau_syn"),
        parameter(membrane_capacitance, "lif: membrane_capacitance"),
        parameter(refractory_time, "lif: refractory_time"),
        dt=dt,
        surrogate=surrogate,
        alpha=alpha,
        outputs=outputs,
        initial_state=initial_state,
        measured_spikes=measured_spikes,
        measured_membrane=measured_membrane,
        population=population,
    )
    return LIFOutput(spikes, membrane, current, state)


def li(
    input: Tensor,
    leak: Union[float, Tensor] = 0.0,
    tau_mem: Union[float, Tensor] = 10e-6,
    tau_syn: Union[float, Tensor] = 10e-6,
    membrane_capacitance: Union[float, Tensor] = 10e-6,
    dt: float = 1e-6,
    outputs: str = "membrane",
    initial_state: Optional[Tensor] = None,
    measured_membrane: Optional[Tensor] = None,
    population: str = "",
) -> LIOutput:
    """Leaky integrators, the readout: the neurons of `lif` without threshold, reset and refractory time.

    With the old current i and membrane v, `k = dt/C`, `g = C/tau_mem` and `d = 1 - dt/tau_syn`::

        v' = v + k * (i + g * (leak - v))
        i' = i * d + input[t]

    Args:
        input: Summed graded spikes `[time, batch, neuron]`; float32 or float64, half and bfloat16 are widened.
        leak: Leak potential [model units]; the membrane starts here. A number or a tensor, 0-dim or `[neuron]`, as
            the other parameters; see `lif` for the rule of the coefficients.
        tau_mem: Membrane time constant [s], above 0.
        tau_syn: Synaptic time constant [s], above 0.
        membrane_capacitance: C [s times model conductance], above 0.
        dt: Time step [s], finite and above 0.
        outputs: Names joined by "+", of "membrane", "current": the traces to return.
        initial_state: `[2, batch, neuron]` as in `LIOutput.state`, to go on from; default: current 0, membrane at leak.
        measured_membrane: Membrane that a chip gave, `[steps, batch, neuron]`: it replaces the model's values as in
            `lif`, gradients stay the model's.
        population: Local name of the population on the chip; does not change the result.

    Returns:
        LIOutput(membrane, current, state).

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range; the sentence names it.
        TypeError: a parameter is neither a number nor a tensor.

    Note:
        Differentiable in input, initial_state and every parameter. Deterministic; no synchronisation.

    Source:
        Forward Euler of Billaudelle et al. 2022, doi 10.1016/j.neunet.2022.04.007.

    Example:
        >>> input = torch.zeros(3, 1, 1)
        >>> input[0] = 10.0
        >>> li(input).membrane.flatten()
        tensor([0.0000, 1.0000, 1.8000])
    """
    membrane, current, state = torch.ops.gradspike.li(
        input,
        parameter(leak, "li: leak"),
        parameter(tau_mem, "li: tau_mem"),
        parameter(tau_syn, "li: tau_syn"),
        parameter(membrane_capacitance, "li: membrane_capacitance"),
        dt=dt,
        outputs=outputs,
        initial_state=initial_state,
        measured_membrane=measured_membrane,
        population=population,
    )
    return LIOutput(membrane, current, state)
