"""What a backend measured, in the units of the model: readings of the converters, their offset and their scale.

Backends give membranes in model units. A script that was written for the chip expects the readings of its converter
and turns them into model units itself, by `trace_offset` and `trace_scale`. So a membrane first becomes a reading, by
the two values that each parameter has: `leak` of the model is `leak` of the hardware [LSB], `threshold` likewise, and
linear in between, which is what a calibrated chip does. Where the values are the same, readings are model units, bit
for bit.
"""

import warnings
from typing import Any, Dict, List, NamedTuple, Optional

import torch
from torch import Tensor

from gradspike.spiking.coordinates import circuits_in
from gradspike.spiking.handle import Handle
from gradspike.spiking.observables import AnalogObservable


class Measured(NamedTuple):
    """What takes the place of the model's values; None: nothing does."""

    spikes: Optional[Tensor] = None
    membrane: Optional[Tensor] = None
    madc: Any = None
    adaptation: Optional[Tensor] = None
    adaptation_madc: Any = None


class Observables(NamedTuple):
    """What a backend gave of one population, on the device of the input.

    Attributes:
        spikes: `[time, batch, neuron]`, or None.
        membrane: `[time, batch, neuron]` in model units, or None.
        madc: `[2, sample, batch]`, times [s] and values [LSB], or None.
    """

    spikes: Optional[Tensor] = None
    membrane: Optional[Tensor] = None
    madc: Optional[Tensor] = None


def measured(hw_data: Any, steps: int) -> Measured:
    """The fields of the bundle that `post_process` gives, where a run was longer than the model up to `steps`."""
    if hw_data is None:
        return Measured()
    voltage, adaptation = getattr(hw_data, "voltage", None), getattr(hw_data, "adaptation", None)
    return Measured(
        _first(getattr(hw_data, "spikes", None), steps),
        _first(getattr(voltage, "cadc", None), steps),
        getattr(voltage, "madc", None),
        _first(getattr(adaptation, "cadc", None), steps),
        getattr(adaptation, "madc", None),
    )


def _first(trace: Optional[Tensor], steps: int) -> Optional[Tensor]:
    return None if trace is None else trace[:steps]


def post_process(neurons: Any, observables: Observables) -> Any:
    """Spikes and readings of a population as `hw_data`, where their recording is enabled."""
    cadc = None
    if observables.membrane is not None and neurons.enable_cadc_recording:
        cadc = model_units(neurons, readings(neurons, observables.membrane))
    spikes = observables.spikes if neurons.enable_spike_recording else None
    madc = observables.madc if neurons.enable_madc_recording else None
    return Handle(spikes=spikes, voltage=AnalogObservable(cadc, madc), adaptation=AnalogObservable())


def readings(neurons: Any, membrane: Tensor) -> Tensor:
    """Readings of the converter [LSB] for a membrane in model units."""
    leak, gain = neurons.leak, lsb_per_unit(neurons)
    model, hardware = leak.model_value_detach(), leak.hardware_value_detach()
    if _equal(gain, 1.0) and _equal(model, hardware):
        return membrane
    like = membrane.device
    result: Tensor = (membrane - _on(model, like)) * _on(gain, like) + _on(hardware, like)
    return result


def lsb_per_unit(neurons: Any) -> Any:
    """LSB of the converter per model unit, from leak and threshold.

    Integrators have no threshold: without one among their arguments they take the gain of the firing populations of the
    experiment, which share their chip, or 1 where there are none, or with a warning where those differ.
    """
    if neurons.fire or neurons.has_threshold:
        return _gain(neurons)
    firing = (other for other in neurons.experiment.elements if getattr(other, "fire", False))
    gains = [_gain(other) for other in firing]
    if not gains:
        return 1.0
    if all(_equal(gain, gains[0]) for gain in gains) and not (isinstance(gains[0], Tensor) and gains[0].dim()):
        return gains[0]
    if not vars(neurons).get("_warned_of_gain"):
        neurons._warned_of_gain = True
        warnings.warn(
            f"{neurons._describe()}: the firing neurons of the experiment have different gains, LSB per model unit; "
            "its own is taken as 1, give it a threshold with a model and a hardware value",
            stacklevel=2,
        )
    return 1.0


def _gain(neurons: Any) -> Any:
    leak, threshold = neurons.leak, neurons.threshold
    model = threshold.model_value_detach() - leak.model_value_detach()
    hardware = threshold.hardware_value_detach() - leak.hardware_value_detach()
    if _equal(model, hardware) or not _nonzero(model):
        return 1.0
    return hardware / model


def model_units(neurons: Any, trace: Tensor) -> Tensor:
    """Readings in model units: shifted in time, less the offset, times the scale."""
    shift = int(neurons.cadc_time_shift)
    if shift:
        trace = _earlier(trace, shift)
    if neurons.shift_cadc_to_first:
        trace = trace - trace[:1]
    else:
        trace = _minus(trace, per_neuron(neurons, "trace_offset", trace))
    return _times(trace, per_neuron(neurons, "trace_scale", trace))


def per_neuron(neurons: Any, argument: str, trace: Tensor) -> Any:
    """A number, a tensor `[size]`, or a dictionary by neuron, as a number or a tensor on the device of the trace."""
    value = getattr(neurons, argument)
    if hasattr(value, "model_value"):
        value = value.model_value
    if isinstance(value, dict):
        value = torch.tensor(_ordered(neurons, argument, value))
    if isinstance(value, Tensor):
        return value.to(device=trace.device, dtype=trace.dtype)
    return float(value)


def _ordered(neurons: Any, argument: str, entries: Dict[Any, Any]) -> List[float]:
    """The entries by the numbers of their keys, or as `placement_constraint` has them where they are its places."""
    found = {_number(key): float(entry) for key, entry in entries.items()}
    if len(found) != neurons.size or len(entries) != neurons.size or None in found:
        raise ValueError(
            f"{neurons._describe()}: {argument} must have one entry for each of the {neurons.size} neurons, by its "
            f"number or coordinate, got {len(entries)} with the keys {list(entries)}"
        )
    places = [_number(place) for place in neurons.placement_constraint or ()]
    order = places if set(places) == set(found) else sorted(number for number in found if number is not None)
    return [found[number] for number in order]


def _number(key: Any) -> Optional[int]:
    """The number of a neuron, or of the first circuit of its coordinate; None for something else."""
    circuits = circuits_in([key])
    return circuits[0] if circuits else None


def _earlier(trace: Tensor, steps: int) -> Tensor:
    """The trace `steps` earlier; the edge value fills what is missing."""
    place = torch.arange(trace.shape[0], device=trace.device) + steps
    return trace[place.clamp(0, trace.shape[0] - 1)]


def _minus(trace: Tensor, offset: Any) -> Tensor:
    return trace if _equal(offset, 0.0) else trace - offset


def _times(trace: Tensor, scale: Any) -> Tensor:
    return trace if _equal(scale, 1.0) else trace * scale


def _on(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value


def _nonzero(value: Any) -> bool:
    return bool((value != 0).all()) if isinstance(value, Tensor) else value != 0


def _equal(a: Any, b: Any) -> bool:
    """Equality of numbers and tensors in every entry."""
    return bool((a == b).all()) if isinstance(a, Tensor) or isinstance(b, Tensor) else bool(a == b)
