"""Recurrent leaky integrate-and-fire neurons, fused over time with both of their projections."""

from typing import NamedTuple, Optional, Union

import torch
from torch import Tensor

from gradspike.functional._arguments import parameter


class RecurrentLIFOutput(NamedTuple):
    """What `recurrent_lif` gives. Outputs that were not asked for are empty tensors of shape `[0]`."""

    spikes: Tensor
    """Spikes `[time, batch, neuron]`, 0 or 1 (measured ones may be counts)."""
    membrane: Tensor
    """Membrane after the reset `[time, batch, neuron]`."""
    current: Tensor
    """Synaptic current `[time, batch, neuron]`."""
    state: Tensor
    """State after the last step `[4, batch, neuron]`: current, membrane, remaining refractory steps, last spikes."""


def recurrent_lif(
    spikes: Tensor,
    input_weight: Tensor,
    recurrent_weight: Tensor,
    leak: Union[float, Tensor] = 0.0,
    reset: Union[float, Tensor] = 0.0,
    threshold: Union[float, Tensor] = 1.0,
    tau_mem: Union[float, Tensor] = 10e-6,
    tau_syn: Union[float, Tensor] = 10e-6,
    membrane_capacitance: Union[float, Tensor] = 10e-6,
    refractory_time: Union[float, Tensor] = 0.0,
    recurrent_mask: Optional[Tensor] = None,
    input_scale: float = 1.0,
    input_min_weight: float = -63.0,
    input_max_weight: float = 63.0,
    recurrent_scale: float = 1.0,
    recurrent_min_weight: float = -63.0,
    recurrent_max_weight: float = 63.0,
    rounding: str = "half_even",
    gradient: str = "clipped",
    units: str = "model",
    dt: float = 1e-6,
    surrogate: str = "superspike",
    alpha: float = 50.0,
    outputs: str = "spikes",
    initial_state: Optional[Tensor] = None,
    measured_spikes: Optional[Tensor] = None,
    measured_membrane: Optional[Tensor] = None,
    recompute_every: int = 0,
    projection: str = "",
    recurrent_projection: str = "",
    population: str = "",
) -> RecurrentLIFOutput:
    """Leaky integrate-and-fire neurons whose spikes come back to them one step later, the whole run in one call.

    With z the spikes of the neurons and `q` the integers of a weight, the input of the step of `lif` is::

        x[t] = graded_spikes(spikes[t], input_weight) + graded_spikes(z[t - 1], recurrent_weight)

    each an integer sum times the inverse of its own scale, the input's first. z[t] enters the current at t + 1 and the
    membrane at t + 2. Several populations with a cycle are one call over their concatenation, with a block mask.

    Args:
        spikes: Counts `[time, batch, in_features]` as in `graded_spikes`; float32, float64, half, bfloat16 or uint8.
        input_weight: `[neuron, in_features]`; float32 or float64, half and bfloat16 are widened to float32.
        recurrent_weight: `[neuron, neuron]` = `[post, pre]`, likewise.
        leak: Leak potential [model units]; the membrane starts here. A number or a tensor, 0-dim or `[neuron]`, as
            the other parameters; see `lif` for the rule of the coefficients.
        reset: Reset potential [model units].
        threshold: Threshold [model units]; the comparison is strict.
        tau_mem: Membrane time constant [s], above 0.
        tau_syn: Synaptic time constant [s], above 0.
        membrane_capacitance: C [s times model conductance], above 0.
        refractory_time: Refractory time [s], at least 0; fractions of a step round up. No gradient.
        recurrent_mask: Boolean `[neuron, neuron]`; where False there is no connection: integer 0 and gradient 0,
            whatever the weight is.
        input_scale: Model weight to LSB of input_weight; finite and above 0, taken as float32.
        input_min_weight: Lower bound [LSB]; an integer, -32767 <= input_min_weight <= 0.
        input_max_weight: Upper bound [LSB]; an integer, 0 <= input_max_weight <= 32767.
        recurrent_scale: Model weight to LSB of recurrent_weight.
        recurrent_min_weight: Lower bound [LSB].
        recurrent_max_weight: Upper bound [LSB].
        rounding: "half_even", "half_away", or "none": both weights as they are, neither clipped nor rounded, products
            summed in floating point in the order of pre (times the scale where units is "lsb").
        gradient: Straight-through rule to the weights: "clipped", "identity" or "returning", see `linear_saturating`.
        units: "model" or "lsb", of the sums of both projections.
        dt: Time step [s], finite and above 0.
        surrogate: Derivative of z by name, see `lif`.
        alpha: Steepness of the surrogate, finite and at least 0.
        outputs: Names joined by "+", of "spikes", "membrane", "current": the traces to return.
        initial_state: `[4, batch, neuron]` as in `RecurrentLIFOutput.state`, to go on from; its spikes enter the
            current of the first step. Default: current 0, membrane at leak, not refractory, no spikes.
        measured_spikes: Spikes that a chip gave, `[steps, batch, neuron]` with at most as many steps as spikes: they
            replace the model's values and are what goes along the recurrent projection, gradients stay the model's.
            After the last measured step the model goes on from what was measured.
        measured_membrane: Membrane that a chip gave, likewise.
        recompute_every: K > 0 keeps only the state before every K-th step for the backward, which computes the traces
            of K steps at a time again; 0 keeps the whole trace. The gradients are the same bits.
        projection: Local name of the input projection on the chip; does not change the result.
        recurrent_projection: Local name of the recurrent projection on the chip; does not change the result.
        population: Local name of the population on the chip; does not change the result.

    Returns:
        RecurrentLIFOutput(spikes, membrane, current, state), in float64 where spikes or a weight are, else float32.

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range; the sentence names it.
        TypeError: a parameter is neither a number nor a tensor.

    Note:
        Differentiable in spikes (through q times the inverse scale), both weights (straight through), initial_state
        (but its refractory steps) and every parameter but refractory_time. Deterministic; no synchronisation. Equal to
        an unfused loop of `graded_spikes` and `lif` in all bits; T steps at once and T times one step are the same
        bits. The backward holds two traces `[time, batch, neuron]` while it runs, whatever recompute_every is.

    Source:
        Back-propagation through time with surrogate gradients: Neftci, Mostafa and Zenke 2019,
        doi 10.1109/MSP.2019.2931595; checkpoints in time: Gruslys et al. 2016, arXiv 1606.03401.

    Example:
        >>> spikes = torch.zeros(6, 1, 1)
        >>> spikes[0] = 1.0
        >>> ring = torch.tensor([[0.0, 20.0], [20.0, 0.0]])  # each neuron excites the other
        >>> recurrent_lif(spikes, torch.tensor([[20.0], [0.0]]), ring).spikes[:, 0].T
        tensor([[0., 1., 1., 1., 1., 1.],
                [0., 0., 0., 1., 1., 1.]])
    """
    out, membrane, current, state = torch.ops.gradspike.recurrent_lif(
        spikes,
        input_weight,
        recurrent_weight,
        parameter(leak, "recurrent_lif: leak"),
        parameter(reset, "recurrent_lif: reset"),
        parameter(threshold, "recurrent_lif: threshold"),
        parameter(tau_mem, "recurrent_lif: tau_mem"),
        parameter(tau_syn, "recurrent_lif: tau_syn"),
        parameter(membrane_capacitance, "recurrent_lif: membrane_capacitance"),
        parameter(refractory_time, "recurrent_lif: refractory_time"),
        recurrent_mask=recurrent_mask,
        input_scale=input_scale,
        input_min_weight=input_min_weight,
        input_max_weight=input_max_weight,
        recurrent_scale=recurrent_scale,
        recurrent_min_weight=recurrent_min_weight,
        recurrent_max_weight=recurrent_max_weight,
        rounding=rounding,
        gradient=gradient,
        units=units,
        dt=dt,
        surrogate=surrogate,
        alpha=alpha,
        outputs=outputs,
        initial_state=initial_state,
        measured_spikes=measured_spikes,
        measured_membrane=measured_membrane,
        recompute_every=recompute_every,
        projection=projection,
        recurrent_projection=recurrent_projection,
        population=population,
    )
    return RecurrentLIFOutput(out, membrane, current, state)
