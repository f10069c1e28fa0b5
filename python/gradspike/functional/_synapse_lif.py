"""Graded spikes and leaky integrate-and-fire neurons in one operator."""

from typing import Optional, Union

import torch
from torch import Tensor

from gradspike.functional._arguments import parameter
from gradspike.functional._lif import LIFOutput


def synapse_lif(
    spikes: Tensor,
    weight: Tensor,
    leak: Union[float, Tensor] = 0.0,
    reset: Union[float, Tensor] = 0.0,
    threshold: Union[float, Tensor] = 1.0,
    tau_mem: Union[float, Tensor] = 10e-6,
    tau_syn: Union[float, Tensor] = 10e-6,
    membrane_capacitance: Union[float, Tensor] = 10e-6,
    refractory_time: Union[float, Tensor] = 0.0,
    scale: float = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
    gradient: str = "clipped",
    units: str = "model",
    dt: float = 1e-6,
    surrogate: str = "superspike",
    alpha: float = 50.0,
    outputs: str = "spikes",
    spike_format: str = "float",
    packed_input: bool = False,
    initial_state: Optional[Tensor] = None,
    measured_spikes: Optional[Tensor] = None,
    measured_membrane: Optional[Tensor] = None,
    recompute_every: int = 0,
    projection: str = "",
    population: str = "",
) -> LIFOutput:
    """`lif(graded_spikes(spikes, weight))` in one operator, with the same bits.

    The synaptic input of all steps is never in memory.

    Args:
        spikes: Counts `[time, batch, in_features]` as `graded_spikes` takes them; bits `[time, batch,
            ceil(in_features / 8)]` of uint8 where packed_input is set.
        weight: `[neuron, in_features]`; float32 or float64, half and bfloat16 are widened to float32.
        leak: Leak potential [model units]; the membrane starts here. A number or a tensor, 0-dim or `[neuron]`, as
            the other parameters of the neurons; see `lif`.
        reset: Reset potential [model units].
        threshold: Threshold [model units]; the comparison is strict.
        tau_mem: Membrane time constant [s], above 0.
        tau_syn: Synaptic time constant [s], above 0.
        membrane_capacitance: C [s times model conductance], above 0.
        refractory_time: Refractory time [s], at least 0; fractions of a step round up. No gradient.
        scale: Model weight to LSB; finite and above 0, taken as float32.
        min_weight: Lower bound [LSB]; an integer, -32767 <= min_weight <= 0.
        max_weight: Upper bound [LSB]; an integer, 0 <= max_weight <= 32767.
        rounding: "half_even", "half_away", or "none": the float product with the weight as it is, which goes to memory
            before the neurons run.
        gradient: Straight-through rule to the weight: "clipped", "identity" or "returning", see `linear_saturating`.
        units: "model" or "lsb", see `graded_spikes`.
        dt: Time step [s], finite and above 0.
        surrogate: Derivative of the spike, by name; see `lif`.
        alpha: Steepness of the surrogate, finite and at least 0.
        outputs: Names joined by "+", of "spikes", "membrane", "current": the traces to return.
        spike_format: Of the spikes that are returned: "float", the dtype of the neurons; "uint8"; or "packed", uint8
            `[time, batch, ceil(neuron / 8)]` in which neuron n is bit n % 8 of byte n // 8, the least significant bit
            first, and the bits beyond the last neuron are 0. The last two carry no gradient: where one is recorded they
            are refused. They are refused with measured_spikes too, which may be counts.
        packed_input: Whether spikes holds bits in the layout of "packed".
        initial_state: `[3, batch, neuron]` as in `LIFOutput.state`, to go on from; default: current 0, membrane at
            leak, not refractory.
        measured_spikes: Spikes that a chip gave, `[steps, batch, neuron]`, see `lif`.
        measured_membrane: Membrane that a chip gave, likewise.
        recompute_every: K > 0 keeps for the backward the states before every K steps, 3 numbers per neuron, in place of
            one number per neuron and step (two where parameters of the neurons are trained). The backward computes the
            traces of K steps at a time again (on CUDA of all steps): same gradients. Least memory at K of about
            sqrt(3 * time).
        projection: Local name of the projection on the chip; does not change the result.
        population: Local name of the population on the chip; does not change the result.

    Returns:
        LIFOutput(spikes, membrane, current, state), float64 where spikes or weight are float64, else float32.

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range; the sentence names it.
        TypeError: a parameter is neither a number nor a tensor.

    Note:
        Differentiable in spikes (through q * factor), weight (straight through), initial_state (current and membrane)
        and every parameter but refractory_time. All gradients have the bits of the two operators, except that of the
        weight, whose sums are added in another fixed order. Deterministic; no synchronisation.

    Source:
        See `graded_spikes` and `lif`.

    Example:
        >>> spikes = torch.ones(3, 1, 2)
        >>> synapse_lif(spikes, torch.tensor([[8.0, 4.0]])).spikes.flatten()
        tensor([0., 1., 1.])
    """
    z, membrane, current, state = torch.ops.gradspike.synapse_lif(
        spikes,
        weight,
        parameter(leak, "synapse_lif: leak"),
        parameter(reset, "synapse_lif: reset"),
        parameter(threshold, "synapse_lif: threshold"),
        parameter(tau_mem, "synapse_lif: tau_mem"),
        parameter(tau_syn, "synapse_lif: tau_syn"),
        parameter(membrane_capacitance, "synapse_lif: membrane_capacitance"),
        parameter(refractory_time, "synapse_lif: refractory_time"),
        scale=scale,
        min_weight=min_weight,
        max_weight=max_weight,
        rounding=rounding,
        gradient=gradient,
        units=units,
        dt=dt,
        surrogate=surrogate,
        alpha=alpha,
        outputs=outputs,
        spike_format=spike_format,
        packed_input=packed_input,
        initial_state=initial_state,
        measured_spikes=measured_spikes,
        measured_membrane=measured_membrane,
        recompute_every=recompute_every,
        projection=projection,
        population=population,
    )
    return LIFOutput(z, membrane, current, state)
