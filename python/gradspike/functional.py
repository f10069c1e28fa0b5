"""One function per operator: thin wrappers that name, document and give defaults.

Axes are time-major, `[time, batch, neuron]`; weights are `[post, pre]` = `[out_features, in_features]`; times are in
seconds, voltages and currents in model units, integer weights in LSB. Every function works under `torch.jit.script`
(pass numbers as floats there), `torch.compile(fullgraph=True)` and `torch.export`. No operator waits for the device
except where its Note says so, and each gives the same bits in every run, for any number of threads.
"""

import math
from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Union

import torch
from torch import Tensor

__all__ = [
    "LIFOutput",
    "LIOutput",
    "ScaleSuggestion",
    "WeightStatistics",
    "connections",
    "graded_spikes",
    "hardware_weights",
    "li",
    "lif",
    "linear_saturating",
    "suggest_scale",
    "weight_statistics",
]


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


@dataclass(frozen=True)
class WeightStatistics:
    """Numbers of one layer's weights, as Python numbers."""

    total: int
    """Number of weights."""
    clipped_low: int
    """Weights with scale * w below min_weight."""
    clipped_high: int
    """Weights with scale * w above max_weight."""
    to_zero: int
    """Weights that are not 0 but whose integer is 0."""
    nan: int
    """Weights that are NaN."""
    largest: float
    """Largest |scale * w| [LSB]; NaN left out."""
    rounding_error: float
    """Root mean square of integer minus clipped weight [LSB]; NaN left out."""
    hash: int
    """Content hash of the integers, their shape and bounds: 0 <= hash < 2**64, equal on every device."""

    @property
    def clipped_fraction(self) -> float:
        """Share of the weights beyond either bound; 0 for an empty layer."""
        return (self.clipped_low + self.clipped_high) / max(self.total, 1)

    @property
    def to_zero_fraction(self) -> float:
        """Share of the weights that are lost to rounding; 0 for an empty layer."""
        return self.to_zero / max(self.total, 1)


@dataclass(frozen=True)
class ScaleSuggestion:
    """A scale for a layer's weights and what it would lose."""

    scale: float
    """Power of two: model weight to LSB."""
    clipped_fraction: float
    """Share of the weights beyond a bound at this scale."""
    to_zero_fraction: float
    """Share of the weights that round to zero at this scale."""


def linear_saturating(
    weight: Tensor,
    scale: float = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    gradient: str = "clipped",
) -> Tensor:
    """Scales and clips a weight: `min(max(scale * weight, min_weight), max_weight)`, without rounding.

    Args:
        weight: Any shape; float32 or float64, half and bfloat16 are widened to float32.
        scale: Model weight to LSB; finite and above 0, taken as float32.
        min_weight: Lower bound [LSB], at most max_weight.
        max_weight: Upper bound [LSB]; 63 is the 6-bit weight of one synapse circuit.
        gradient: Straight-through rule. "clipped": scale inside the bounds (inclusive), 0 outside; "identity": scale
            everywhere; "returning": as "clipped", and outside the bounds where descent moves the weight back inside.

    Returns:
        Tensor of the weight's shape and dtype [LSB], computed in float32 where that is narrower; NaN stays NaN.

    Raises:
        RuntimeError: an argument is out of its range; the sentence names it.

    Note:
        Differentiable in weight. Deterministic; no synchronisation.

    Source:
        hxtorch's weight transform of the same name.

    Example:
        >>> linear_saturating(torch.tensor([-2.0, 0.25, 1.0]), scale=50.0)
        tensor([-63.0000,  12.5000,  50.0000])
    """
    result: Tensor = torch.ops.gradspike.linear_saturating(weight, scale, min_weight, max_weight, gradient=gradient)
    return result


def hardware_weights(
    weight: Tensor,
    scale: float = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
) -> Tensor:
    """The integers that the chip holds: `round(min(max(scale * weight, min_weight), max_weight))`.

    Args:
        weight: Any shape; float32 or float64, half and bfloat16 are widened to float32.
        scale: Model weight to LSB; finite and above 0, taken as float32.
        min_weight: Lower bound [LSB]; an integer, -32767 <= min_weight <= 0. 0 for an excitatory projection.
        max_weight: Upper bound [LSB]; an integer, 0 <= max_weight <= 32767. 0 for an inhibitory projection. Beyond 63
            an input needs several synapse rows.
        rounding: "half_even" or "half_away".

    Returns:
        int8 where both bounds lie within 127, else int16. NaN is the lowest value of the type (-128 or -32768).

    Raises:
        RuntimeError: an argument is out of its range; the sentence names it.

    Note:
        Not differentiable: `graded_spikes` holds the straight-through gradient. Deterministic; no synchronisation.

    Source:
        6-bit synapses with the sign of their row, Pehle et al. 2022, doi 10.3389/fnins.2022.795876.

    Example:
        >>> hardware_weights(torch.tensor([-2.0, 0.25, 0.5, 1.0]), scale=50.0)
        tensor([-63,  12,  25,  50], dtype=torch.int8)
    """
    result: Tensor = torch.ops.gradspike.hardware_weights(weight, scale, min_weight, max_weight, rounding=rounding)
    return result


def graded_spikes(
    spikes: Tensor,
    weight: Tensor,
    scale: float = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
    gradient: str = "clipped",
    units: str = "model",
    projection: str = "",
) -> Tensor:
    """Spikes times the integers of a weight: `factor * sum over pre of q[post, pre] * spikes[.., pre]`.

    `q = hardware_weights(weight, ...)`, `factor` is float32 1/scale (`units="model"`) or 1 (`units="lsb"`). The sum is
    one of integers, hence exact in any order, and rounded once.

    Args:
        spikes: Counts `[..., in_features]`; float32, float64, half, bfloat16 or uint8. Rows with values that are no
            integers in 0..127 are summed in floating point, in the order of pre.
        weight: `[out_features, in_features]`; float32 or float64, half and bfloat16 are widened to float32.
        scale: Model weight to LSB; finite and above 0, taken as float32.
        min_weight: Lower bound [LSB]; an integer, -32767 <= min_weight <= 0.
        max_weight: Upper bound [LSB]; an integer, 0 <= max_weight <= 32767.
        rounding: "half_even", "half_away", or "none": the float product with the weight as it is, neither clipped nor
            rounded (times scale where units is "lsb").
        gradient: Straight-through rule to the weight: "clipped", "identity" or "returning", see `linear_saturating`.
        units: "model" or "lsb".
        projection: Local name of the projection on the chip; does not change the result.

    Returns:
        `[..., out_features]`, float64 where spikes or weight are float64, else float32. A post neuron with a NaN weight
        is NaN at all times.

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range; the sentence names it.

    Note:
        Differentiable in spikes (through q * factor) and weight (straight through). Forward deterministic and equal on
        every device for integer spikes; no synchronisation. In autocast regions it computes in float32.

    Source:
        Straight-through estimator: Bengio, Leonard and Courville 2013, arXiv 1308.3432.

    Example:
        >>> spikes = torch.tensor([[1.0, 0.0], [1.0, 2.0]])
        >>> graded_spikes(spikes, torch.tensor([[0.26, -0.5]]), scale=64.0, units="lsb")
        tensor([[ 17.],
                [-47.]])
    """
    result: Tensor = torch.ops.gradspike.graded_spikes(
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
    return result


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
    tensor on the CPU counts as a number. The ranges below are checked for numbers; those in a tensor are not read.

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
        surrogate: "superspike": the derivative of z is `1 / (alpha * |v' - threshold| + 1)**2`.
        alpha: Steepness of the surrogate, finite and at least 0.
        outputs: Names joined by "+", of "spikes", "membrane", "current": the traces to return.
        initial_state: `[3, batch, neuron]` as in `LIFOutput.state`, to go on from; default: current 0, membrane at
            leak, not refractory.
        measured_spikes: Spikes that a chip gave, in the shape of input: they replace the model's values, gradients stay
            the model's.
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
        _parameter(leak, "lif: leak"),
        _parameter(reset, "lif: reset"),
        _parameter(threshold, "lif: threshold"),
        _parameter(tau_mem, "lif: tau_mem"),
        _parameter(tau_syn, "lif: tau_syn"),
        _parameter(membrane_capacitance, "lif: membrane_capacitance"),
        _parameter(refractory_time, "lif: refractory_time"),
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
        measured_membrane: Membrane that a chip gave, in the shape of input: it replaces the model's values, gradients
            stay the model's.
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
        _parameter(leak, "li: leak"),
        _parameter(tau_mem, "li: tau_mem"),
        _parameter(tau_syn, "li: tau_syn"),
        _parameter(membrane_capacitance, "li: membrane_capacitance"),
        dt=dt,
        outputs=outputs,
        initial_state=initial_state,
        measured_membrane=measured_membrane,
        population=population,
    )
    return LIOutput(membrane, current, state)


def weight_statistics(
    weight: Tensor,
    scale: float = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
) -> WeightStatistics:
    """Counts what the integers of a weight lose, and hashes them, in one pass.

    With `x = scale * weight` and `q` its integer: counts of x beyond either bound, of weights other than 0 with q = 0
    and of NaN; the largest |x|, `sqrt(mean((q - clip(x))**2))`, and the content hash of q.

    Args:
        weight: `[out_features, in_features]`; float32 or float64, half and bfloat16 are widened to float32.
        scale: Model weight to LSB; finite and above 0, taken as float32.
        min_weight: Lower bound [LSB]; an integer, -32767 <= min_weight <= 0.
        max_weight: Upper bound [LSB]; an integer, 0 <= max_weight <= 32767.
        rounding: "half_even" or "half_away".

    Returns:
        WeightStatistics, as Python numbers.

    Raises:
        RuntimeError: an argument is out of its range; the sentence names it.

    Note:
        Reading the numbers waits for the device; `torch.ops.gradspike.weight_statistics` gives them as tensors without
        waiting, and is the form for TorchScript. Not differentiable. Deterministic, equal on every device.

    Source:
        Hash: a sum of SplitMix64 shares, Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195.

    Example:
        >>> statistics = weight_statistics(torch.tensor([[2.0, 0.001, 0.5]]), scale=64.0)
        >>> statistics.clipped_high, statistics.to_zero, statistics.largest
        (1, 1, 128.0)
    """
    counts, measures, content = torch.ops.gradspike.weight_statistics(
        weight, scale, min_weight, max_weight, rounding=rounding
    )
    total, clipped_low, clipped_high, to_zero, nan = counts.tolist()
    largest, rounding_error = measures.tolist()
    return WeightStatistics(
        total=total,
        clipped_low=clipped_low,
        clipped_high=clipped_high,
        to_zero=to_zero,
        nan=nan,
        largest=largest,
        rounding_error=rounding_error,
        hash=int(content.item()) % 2**64,
    )


def connections(
    weight: Tensor,
    scale: float = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
) -> Tensor:
    """The connection list of a dense projection: row `post * in_features + pre` is `(pre, post, q[post, pre])`.

    Args:
        weight: `[out_features, in_features]`; float32 or float64, half and bfloat16 are widened to float32.
        scale: Model weight to LSB; finite and above 0, taken as float32.
        min_weight: Lower bound [LSB]; an integer, -32767 <= min_weight <= 0.
        max_weight: Upper bound [LSB]; an integer, 0 <= max_weight <= 32767.
        rounding: "half_even" or "half_away".

    Returns:
        int32 `[out_features * in_features, 3]`, post outer and pre inner, zeros included.

    Raises:
        RuntimeError: a weight is NaN, or an argument is out of its range; the sentence names it.

    Note:
        For a weight on a CUDA device the search for NaN waits for the device. Not differentiable. Deterministic.

    Source:
        Order and rounding of hxtorch's `get_connections`.

    Example:
        >>> connections(torch.tensor([[0.5, -2.0]]), scale=64.0)
        tensor([[  0,   0,  32],
                [  1,   0, -63]], dtype=torch.int32)
    """
    if weight.is_cuda:
        _refuse_nan(weight)
    result: Tensor = torch.ops.gradspike.connections(weight, scale, min_weight, max_weight, rounding=rounding)
    return result


def suggest_scale(
    weight: Tensor,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
    max_clipped: float = 0.02,
) -> ScaleSuggestion:
    """The largest power of two that clips at most a given share of the weights.

    A larger scale loses fewer small weights to rounding and more large ones to the bounds; a power of two has an exact
    inverse, so scaling back to model units adds no rounding. The search starts where nothing clips and doubles.

    Args:
        weight: `[out_features, in_features]`, finite or NaN (left out).
        min_weight: Lower bound [LSB], see `hardware_weights`. Where it is 0, negative weights clip at any scale and do
            not steer the search; likewise positive ones where max_weight is 0.
        max_weight: Upper bound [LSB].
        rounding: "half_even" or "half_away".
        max_clipped: Share of the weights that may clip, 0 <= max_clipped < 1.

    Returns:
        ScaleSuggestion with the scale and both shares at this scale; the scale is 1 where all weights are 0 or both
        bounds are.

    Raises:
        ValueError: max_clipped is out of its range, or a weight is infinite.

    Note:
        Reads numbers from the device at each step of the search.

    Example:
        >>> suggest_scale(torch.tensor([[0.3, -0.2], [0.1, 0.05]])).scale
        128.0
    """
    if not 0.0 <= max_clipped < 1.0:
        raise ValueError(f"suggest_scale: max_clipped must lie in [0, 1), got {max_clipped}")
    largest = weight_statistics(weight, 1.0, min_weight, max_weight, rounding).largest
    if math.isinf(largest):
        raise ValueError("suggest_scale: weight must be finite, got an infinite value")
    exponent = _largest_exponent(weight, min_weight, max_weight, rounding, max_clipped, largest)
    scale = 2.0**exponent
    statistics = weight_statistics(weight, scale, min_weight, max_weight, rounding)
    return ScaleSuggestion(scale, statistics.clipped_fraction, statistics.to_zero_fraction)


# Beyond 2^60 a float32 scale times a weight comes close to overflow, and no weight of a network is that small.
_MAX_EXPONENT = 60


def _largest_exponent(
    weight: Tensor, min_weight: float, max_weight: float, rounding: str, max_clipped: float, largest: float
) -> int:
    bound = max(max_weight, -min_weight)
    if largest <= 0.0 or bound <= 0.0:
        return 0
    exponent = max(min(math.floor(math.log2(bound / largest)), _MAX_EXPONENT), -_MAX_EXPONENT)
    while exponent < _MAX_EXPONENT:
        statistics = weight_statistics(weight, 2.0 ** (exponent + 1), min_weight, max_weight, rounding)
        clipped = (statistics.clipped_low if min_weight < 0.0 else 0) + (
            statistics.clipped_high if max_weight > 0.0 else 0
        )
        if clipped > max_clipped * statistics.total:
            break
        exponent += 1
    return exponent


def _parameter(value: Union[float, Tensor], argument: str) -> Tensor:
    """A number becomes a tensor that the operators take for a number; a tensor stays as it is."""
    if not torch.jit.is_scripting() and not isinstance(value, (int, float, Tensor)):
        raise TypeError(f"{argument} must be a number or a tensor, got {type(value).__name__}")
    if isinstance(value, Tensor):
        return value
    return _number(value)


def _number(value: float) -> Tensor:
    """A 0-dim float64 tensor on the CPU, whatever the default device is: there it counts as a number."""
    if torch.jit.is_scripting():  # there torch.tensor rounds to the default dtype before it widens
        return torch.full([], value, dtype=torch.float64, device="cpu")
    if torch.jit.is_tracing():  # a tracer warns of constants made by torch.tensor
        return torch.full((), value, dtype=torch.float64, device="cpu")
    return torch.tensor(value, dtype=torch.float64, device="cpu")


def _refuse_nan(weight: Tensor) -> None:
    found = torch.isnan(weight).nonzero()
    if found.numel() > 0:
        index: List[int] = found[0].tolist()
        raise RuntimeError(f"connections: weight must not be NaN, got NaN at index {index}")
