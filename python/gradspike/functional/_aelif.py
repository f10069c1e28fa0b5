"""Adaptive exponential integrate-and-fire (AdEx) neurons, fused over time."""

from typing import NamedTuple, Optional, Union

import torch
from torch import Tensor

from gradspike.functional._arguments import parameter


class AELIFOutput(NamedTuple):
    """What `aelif` gives. Outputs that were not asked for are empty tensors of shape `[0]`."""

    spikes: Tensor
    """Spikes `[time, batch, neuron]`, 0 or 1 (measured ones may be counts); 0 where `fire` is False."""
    membrane: Tensor
    """Membrane after the reset `[time, batch, neuron]`."""
    current: Tensor
    """Synaptic current `[time, batch, neuron]`."""
    adaptation: Tensor
    """Adaptation current `[time, batch, neuron]`."""
    state: Tensor
    """State after the last step `[4, batch, neuron]`: current, membrane, remaining refractory steps, adaptation."""


def aelif(
    input: Tensor,
    leak: Union[float, Tensor] = 0.0,
    reset: Union[float, Tensor] = 0.0,
    threshold: Union[float, Tensor] = 1.0,
    tau_mem: Union[float, Tensor] = 10e-6,
    tau_syn: Union[float, Tensor] = 10e-6,
    membrane_capacitance: Union[float, Tensor] = 10e-6,
    refractory_time: Union[float, Tensor] = 0.0,
    exponential_slope: Union[float, Tensor] = 0.05,
    exponential_threshold: Union[float, Tensor] = 0.8,
    subthreshold_adaptation_strength: Union[float, Tensor] = 0.1,
    spike_triggered_adaptation_increment: Union[float, Tensor] = 0.1,
    tau_adap: Union[float, Tensor] = 100e-6,
    dt: float = 1e-6,
    leaky: bool = True,
    fire: bool = True,
    exponential: bool = True,
    subthreshold_adaptation: bool = True,
    spike_triggered_adaptation: bool = True,
    surrogate: str = "superspike",
    alpha: float = 50.0,
    outputs: str = "spikes",
    initial_state: Optional[Tensor] = None,
    measured_spikes: Optional[Tensor] = None,
    measured_membrane: Optional[Tensor] = None,
    measured_adaptation: Optional[Tensor] = None,
    population: str = "",
) -> AELIFOutput:
    """Adaptive exponential integrate-and-fire (AdEx) neurons, the whole run in one call.

    With the old current i, membrane v and adaptation w, the `exponential_slope` s, the `exponential_threshold` vT, the
    `subthreshold_adaptation_strength` a, the `spike_triggered_adaptation_increment` b, `k = dt/C`, `g = C/tau_mem`,
    `d = 1 - dt/tau_syn`, `G = g * s`, `dw = 1 - dt/tau_adap` and `f = dt/tau_adap * a`::

        u  = v + k * (i + g * (leak - v) + G * exp((v - vT) / s) - w)
        i' = i * d + input[t]
        y  = u > threshold
        w' = w * dw + f * (u - leak) + b * y
        z  = y, and not refractory
        v' = reset where u > threshold or the neuron is refractory, else u

    The flags leave out terms: `leaky` the second of the sum, `exponential` the third, `fire` the spikes with reset and
    refractory time, `subthreshold_adaptation` and `spike_triggered_adaptation` the second and the third of w'; without
    both, w is left out everywhere. With `leaky` and `fire` alone the results are the bits of `lif`.

    A spike blocks the next `ceil(refractory_time / dt)` steps; in these a membrane above threshold still increments the
    adaptation, which precedes the refractory time. Without `fire` the refractory time is ignored. No gradient flows
    through z into the reset, but through y into the adaptation. A parameter is a number or a tensor as in `lif`, by the
    same rule of the coefficients. The ranges below are checked for numbers, whether or not their term is left out.

    Args:
        input: Summed graded spikes `[time, batch, neuron]`; float32 or float64, half and bfloat16 are widened.
        leak: Leak potential [model units]; the membrane starts here if `leaky` or `subthreshold_adaptation`, else at 0.
        reset: Reset potential [model units].
        threshold: Threshold of the spike [model units]; the comparison is strict.
        tau_mem: Membrane time constant [s], above 0.
        tau_syn: Synaptic time constant [s], above 0.
        membrane_capacitance: C [s times model conductance], above 0.
        refractory_time: Refractory time [s], at least 0; fractions of a step round up. No gradient.
        exponential_slope: Slope s of the exponential [model units], above 0.
        exponential_threshold: Potential vT around which the exponential sets in [model units].
        subthreshold_adaptation_strength: a, adaptation current per model unit of the membrane above the leak.
        spike_triggered_adaptation_increment: b, what a spike adds to the adaptation current.
        tau_adap: Time constant of the adaptation [s], above 0.
        dt: Time step [s], finite and above 0.
        leaky: Whether the membrane leaks.
        fire: Whether there are spikes, with reset and refractory time.
        exponential: Whether the exponential drives the membrane.
        subthreshold_adaptation: Whether the membrane drives the adaptation.
        spike_triggered_adaptation: Whether spikes increment the adaptation.
        surrogate: Derivative of y at `x = u - threshold`, by name as in `lif`.
        alpha: Steepness of the surrogate, finite and at least 0.
        outputs: Names joined by "+", of "spikes", "membrane", "current", "adaptation": the traces to return.
        initial_state: `[4, batch, neuron]` as in `AELIFOutput.state`, to go on from; default: the membrane as above,
            everything else 0.
        measured_spikes: Spikes that a chip gave, `[steps, batch, neuron]` with at most as many steps as input: they
            replace the model's values, gradients stay the model's. After the last measured step the model goes on from
            what was measured. Needs `fire`.
        measured_membrane: Membrane that a chip gave, likewise; then there is no reset.
        measured_adaptation: Adaptation current that a chip gave, likewise. Needs one of the adaptations.
        population: Local name of the population on the chip; does not change the result.

    Returns:
        AELIFOutput(spikes, membrane, current, adaptation, state).

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range; the sentence names it.
        TypeError: a parameter is neither a number nor a tensor.

    Note:
        Differentiable in input, initial_state (all but the refractory counter) and every parameter but refractory_time;
        a parameter of a term that is left out has gradient 0. Deterministic; no synchronisation. T steps at once and T
        times one step are the same bits. The exponential is the library's own, at most one unit in the last place from
        the true value and the same bits on every device: an eager loop with `torch.exp` agrees to rounding only. An
        exponential beyond the range of the dtype makes the membrane infinite: the neuron fires and is reset, but
        `subthreshold_adaptation` takes the infinity over; a smaller dt or a threshold nearer to vT avoids it.

    Source:
        Brette and Gerstner 2005, doi 10.1152/jn.00686.2005; forward Euler as in Billaudelle et al. 2022,
        doi 10.1016/j.neunet.2022.04.007.

    Example:
        >>> spikes = aelif(torch.full((160, 1, 1), 0.12)).spikes.flatten()
        >>> spikes.nonzero().flatten().diff()  # the intervals grow
        tensor([18, 20, 24, 27, 30])
    """
    spikes, membrane, current, adaptation, state = torch.ops.gradspike.aelif(
        input,
        parameter(leak, "aelif: leak"),
        parameter(reset, "aelif: reset"),
        parameter(threshold, "aelif: threshold"),
        parameter(tau_mem, "aelif: tau_mem"),
        parameter(tau_syn, "aelif: tau_syn"),
        parameter(membrane_capacitance, "aelif: membrane_capacitance"),
        parameter(refractory_time, "aelif: refractory_time"),
        parameter(exponential_slope, "aelif: exponential_slope"),
        parameter(exponential_threshold, "aelif: exponential_threshold"),
        parameter(subthreshold_adaptation_strength, "aelif: subthreshold_adaptation_strength"),
        parameter(spike_triggered_adaptation_increment, "aelif: spike_triggered_adaptation_increment"),
        parameter(tau_adap, "aelif: tau_adap"),
        dt=dt,
        leaky=leaky,
        fire=fire,
        exponential=exponential,
        subthreshold_adaptation=subthreshold_adaptation,
        spike_triggered_adaptation=spike_triggered_adaptation,
        surrogate=surrogate,
        alpha=alpha,
        outputs=outputs,
        initial_state=initial_state,
        measured_spikes=measured_spikes,
        measured_membrane=measured_membrane,
        measured_adaptation=measured_adaptation,
        population=population,
    )
    return AELIFOutput(spikes, membrane, current, adaptation, state)
