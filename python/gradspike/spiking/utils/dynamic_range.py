"""Ranges and scales of a backend, measured with probes: what a script puts into `trace_scale` and `weight_scale`."""

import functools
from typing import Any, Dict, NamedTuple, Optional

import torch
from torch import Tensor

from gradspike import chip, nn
from gradspike.spiking.experiment import Experiment
from gradspike.spiking.handle import LIFObservables
from gradspike.spiking.modules import LI, LIF, Synapse
from gradspike.spiking.morphology import circuits_per_neuron
from gradspike.spiking.run import run
from gradspike.spiking.transforms.weight_transforms import linear_saturating

NOMINAL_WEIGHT_SCALE = 64.0
"""Model weight to LSB that the probes of weights start from: hxtorch's default of converted networks."""

_CIRCUITS = 512
_STEPS = 100
_BATCH = 10
_DRIVE = 1.25
"""Membrane that a probe is driven to, in distances from leak to threshold: above 1, so that neurons fire."""

_PROBE_LSB = 20.0
"""Weight of a probe [LSB]: rounding is 2.5 % of it at most, and inputs at every step stay within the chip's rates."""


class DynamicRange(NamedTuple):
    """Mean readings over neurons, in readings of the converter."""

    baseline: Tensor
    upper: Tensor
    lower: Tensor


def get_trace_scaling(
    params: Dict[str, Any],
    calib_path: Optional[str] = None,
    neuron_structure: Any = None,
    *,
    backend: Optional[str] = "emulator",
    preset: str = "ideal",
    seed: int = 0,
) -> float:
    """Model units per LSB of a reading: the threshold of the model over the largest readings of driven neurons.

    All neurons of a chip are driven above their threshold; a reading counts from rest.

    Args:
        params: Arguments of `gradspike.spiking.LIF`; potentials may have two values.
        calib_path: Calibration, handed to the backend.
        neuron_structure: Morphology of the neurons: all circuits of a chip are driven, 512 by their number.
        backend: As for `Experiment`.
        preset: As for `Experiment`.
        seed: As for `Experiment`.

    Returns:
        (threshold - leak) of the model over the mean of the largest readings. hxtorch's has the leak at 0.

    Example:
        >>> from gradspike.spiking import MixedHXModelParameter as Mixed
        >>> params = {"leak": Mixed(0.0, 80), "reset": Mixed(0.0, 80), "threshold": Mixed(1.0, 150)}
        >>> abs(get_trace_scaling(params) * 70 - 1) < 0.05
        True
    """
    probe = _Probe(params, calib_path, neuron_structure, backend, preset, seed)
    rest = probe.readings(0.0)
    peak = (probe.readings(_DRIVE) - rest.mean(dim=(0, 1))).amax(dim=0).mean()
    return float(probe.threshold_above_leak / peak)


def get_weight_scaling(
    params: Optional[Dict[str, Any]] = None,
    weight_step: int = 1,
    calib_path: Optional[str] = None,
    neuron_structure: Any = None,
    *,
    backend: Optional[str] = None,
    preset: str = "ideal",
    seed: int = 0,
    nominal_scale: float = NOMINAL_WEIGHT_SCALE,
) -> float:
    """Model weight to LSB, for which the backend responds to a spike as the model does.

    Measured by `gradspike.chip.measure_scales` on a projection with `nominal_scale`: spikes through every weight of the
    chip onto all of its neurons, fitted against the response of the model.

    Args:
        params: Arguments of `gradspike.spiking.LIF`.
        weight_step: Accepted: every weight is measured.
        calib_path: Accepted: the measurement takes the backend with the calibration it has; name another one where the
            backend is started.
        neuron_structure: Accepted: probes have one circuit per neuron.
        backend: As for `gradspike.chip.deploy`.
        preset: As for `gradspike.chip.deploy`.
        seed: As for `gradspike.chip.deploy`.
        nominal_scale: Scale that the backend is calibrated to.

    Example:
        >>> get_weight_scaling({"leak": 0.0, "threshold": 1.0}, weight_step=10)
        64.0
    """
    experiment = Experiment(mock=True)
    neurons = LIF(1, experiment, **(params or {}))
    values = {name: neurons.plain_value(name) for name in ("leak", "tau_mem", "tau_syn", "membrane_capacitance")}
    model = torch.nn.Sequential(
        nn.Synapse(1, 1, name="probe", scale=nominal_scale), nn.LI(1, name="probe", dt=experiment.dt, **values)
    )
    network = f"{experiment.name}_weight_scaling"
    measured = chip.measure_scales(model, backend, preset, seed, network=network)
    chip.clear(network)
    return float(measured["probe"].suggested_scale)


def get_dynamic_range(
    params: Dict[str, Any],
    calib_path: Optional[str] = None,
    neuron_structure: Any = None,
    *,
    backend: Optional[str] = "emulator",
    preset: str = "calibrated",
    seed: int = 0,
    drive: float = 20.0,
) -> DynamicRange:
    """Readings at rest and at both ends of the range of the membrane, over the last fifth of a run.

    Args:
        params: Arguments of `gradspike.spiking.LIF`; the neurons integrate and do not fire.
        calib_path: Calibration, handed to the backend.
        neuron_structure: Morphology of the neurons: all circuits of a chip are driven, 512 by their number.
        backend: As for `Experiment`.
        preset: As for `Experiment`; the ideal emulator has no ends.
        seed: As for `Experiment`.
        drive: How far the membrane is driven, in distances from leak to threshold.

    Returns:
        DynamicRange(baseline, upper, lower): readings `[neuron]`.
    """
    probe = _Probe(params, calib_path, neuron_structure, backend, preset, seed, fire=False)
    last = int(0.8 * _STEPS)
    readings = (probe.readings(current)[last:].mean(dim=(0, 1)) for current in (0.0, drive, -drive))
    return DynamicRange(*readings)


class _Probe:
    """All neurons of a chip under a constant input."""

    def __init__(
        self,
        params: Dict[str, Any],
        calib_path: Optional[str],
        neuron_structure: Any,
        backend: Optional[str],
        preset: str,
        seed: int,
        fire: bool = True,
    ) -> None:
        self.experiment = Experiment(backend=backend, preset=preset, seed=seed, calibration=calib_path)
        circuits = circuits_per_neuron(neuron_structure) or 1
        own = {**params, "trace_offset": 0.0, "trace_scale": 1.0, "neuron_structure": neuron_structure}
        self.neurons: Any = (LIF if fire else LI)(_CIRCUITS // circuits, self.experiment, **own)
        self.neurons.has_threshold = True  # also integrators read with the gain of the parameters
        leak, threshold = self.neurons.leak.model_value_detach(), self.neurons.threshold.model_value_detach()
        self.threshold_above_leak = float(threshold - leak)
        self.synapse = Synapse(1, self.neurons.size, self.experiment)

    def readings(self, drive: float) -> Tensor:
        """Readings `[time, batch, neuron]` of neurons that are driven to `drive` distances from leak to threshold."""
        tau_mem, tau_syn, capacitance = (
            float(torch.as_tensor(self.neurons.plain_value(name)).mean())
            for name in ("tau_mem", "tau_syn", "membrane_capacitance")
        )
        dt = self.experiment.dt
        weight = drive * self.threshold_above_leak * capacitance * dt / (tau_mem * tau_syn)
        with torch.no_grad():
            self.synapse.weight.fill_(weight)
        scale = _PROBE_LSB / abs(weight) if weight else 1.0
        self.synapse.weight_transform = functools.partial(linear_saturating, scale=scale)
        spikes = torch.ones(_STEPS, _BATCH, 1)
        handle = self.neurons(self.synapse(LIFObservables(spikes=spikes)))
        run(self.experiment, _STEPS)
        membrane: Tensor = handle.membrane_cadc.detach()
        return membrane
