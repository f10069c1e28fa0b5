"""Neurons: AELIF, LIF, LI and EventPropLIF."""

import warnings
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from torch import Tensor

from gradspike import functional
from gradspike.spiking import _readout
from gradspike.spiking.handle import LIFObservables, LIObservables, handle_type
from gradspike.spiking.modules.neuron_parameters import (
    ALIASES,
    MODEL_DEFAULTS,
    as_argument,
    is_zero,
    parameter_of,
)
from gradspike.spiking.modules.types import Population
from gradspike.spiking.morphology import compartments_of
from gradspike.spiking.parameter import as_parameter

VOLTAGE = "voltage"
"""Default source of the converters: the membrane."""

_FLAGS = ("leaky", "fire", "exponential", "subthreshold_adaptation", "spike_triggered_adaptation")
_LIF_PARAMETERS = tuple(MODEL_DEFAULTS)[:11]
_RECORDING: Dict[str, Any] = {
    "enable_spike_recording": True,
    "enable_cadc_recording": True,
    "enable_cadc_recording_placement_in_dram": False,
    "cadc_readout_source": VOLTAGE,
    "enable_madc_recording": False,
    "record_neuron_id": None,
    "madc_readout_source": VOLTAGE,
    "placement_constraint": None,
    "trace_offset": 0.0,
    "trace_scale": 1.0,
    "cadc_time_shift": 0,
    "shift_cadc_to_first": False,
    "interpolation_mode": "linear",
    "neuron_structure": None,
}


class AELIF(Population):
    """Adaptive exponential integrate-and-fire neurons, see `gradspike.functional.aelif`.

    A parameter is a number, a tensor `[size]` or a parameter object of `gradspike.spiking.parameter`; potentials are
    model units, times seconds. Values are not checked before the neurons compute, and further keywords are accepted:
    they become attributes.

    Args:
        size: Number of neurons.
        experiment: The experiment; its `dt` is the time step.
        leak: Leak potential; the membrane starts here.
        reset: Reset potential.
        threshold: Threshold of the spike; the comparison is strict.
        tau_mem: Membrane time constant [s].
        tau_syn: Synaptic time constant [s].
        i_synin_gm: Strength of the synaptic input on the chip.
        membrane_capacitance: Capacitance [s]; the gain of an input is dt / membrane_capacitance. Default: 10e-6, a new
            object for each layer.
        leak_conductance: Conductance; default: membrane_capacitance / tau_mem.
        refractory_time: Refractory time [s]; fractions of a step round up.
        synapse_dac_bias: Bias of the synapses on the chip.
        holdoff_time: Time without spikes after the refractory time on the chip [s].
        method: Surrogate derivative of the spike, see `gradspike.functional.lif`.
        alpha: Steepness of the surrogate.
        exponential_slope: Slope of the exponential.
        exponential_threshold: Potential around which the exponential sets in.
        subthreshold_adaptation_strength: Adaptation per unit of the membrane above the leak.
        spike_triggered_adaptation_increment: What a spike adds to the adaptation.
        clock_scale_adaptation_pulse: Setting of the chip.
        tau_adap: Time constant of the adaptation [s].
        leak_adaptation: Setting of the chip.
        execution_instance: Execution instance of the population.
        chip_coordinate: Stored as it is; the mapper takes what it understands, see `Projection`.
        enable_spike_recording: Whether a backend's spikes are recorded and take the place of the model's.
        enable_cadc_recording: Whether a backend's membrane is recorded and takes the place of the model's.
        enable_madc_recording: Whether the fast converter records the neuron `record_neuron_id`.
        record_neuron_id: Neuron of the fast converter.
        placement_constraint: Places of the neurons, one for each.
        trace_offset: Reading at rest [LSB]: a number, a tensor `[size]` or a dictionary with one entry for each neuron,
            by its number or coordinate, in any order.
        trace_scale: Model units per LSB of a reading, likewise.
        cadc_time_shift: Steps by which readings come too late.
        shift_cadc_to_first: Whether the first reading is subtracted in the place of `trace_offset`.
        interpolation_mode: "linear" or "nn": how readings come onto the time grid.
        neuron_structure: Morphology; one compartment.
        leaky: Whether the membrane leaks.
        fire: Whether there are spikes.
        exponential: Whether the exponential drives the membrane.
        subthreshold_adaptation: Whether the membrane drives the adaptation.
        spike_triggered_adaptation: Whether spikes increment the adaptation.
        name: Name on the chip and in files.

    Raises:
        ValueError: placement_constraint has not one entry for each neuron, or neuron_structure has several
            compartments.
    """

    parameter_names: Tuple[str, ...] = tuple(MODEL_DEFAULTS)
    trace_offset: Any
    trace_scale: Any

    def __init__(
        self,
        size: int,
        experiment: Any,
        leak: Any = MODEL_DEFAULTS["leak"],
        reset: Any = MODEL_DEFAULTS["reset"],
        threshold: Any = MODEL_DEFAULTS["threshold"],
        tau_mem: Any = MODEL_DEFAULTS["tau_mem"],
        tau_syn: Any = MODEL_DEFAULTS["tau_syn"],
        i_synin_gm: Any = MODEL_DEFAULTS["i_synin_gm"],
        membrane_capacitance: Any = None,
        leak_conductance: Any = None,
        refractory_time: Any = MODEL_DEFAULTS["refractory_time"],
        synapse_dac_bias: Any = MODEL_DEFAULTS["synapse_dac_bias"],
        holdoff_time: Any = MODEL_DEFAULTS["holdoff_time"],
        method: str = "superspike",
        alpha: Any = 50.0,
        exponential_slope: Any = MODEL_DEFAULTS["exponential_slope"],
        exponential_threshold: Any = MODEL_DEFAULTS["exponential_threshold"],
        subthreshold_adaptation_strength: Any = MODEL_DEFAULTS["subthreshold_adaptation_strength"],
        spike_triggered_adaptation_increment: Any = MODEL_DEFAULTS["spike_triggered_adaptation_increment"],
        clock_scale_adaptation_pulse: Any = MODEL_DEFAULTS["clock_scale_adaptation_pulse"],
        tau_adap: Any = MODEL_DEFAULTS["tau_adap"],
        leak_adaptation: Any = None,
        execution_instance: Any = None,
        chip_coordinate: Any = None,
        leaky: bool = True,
        fire: bool = True,
        exponential: bool = True,
        subthreshold_adaptation: bool = True,
        spike_triggered_adaptation: bool = True,
        name: Optional[str] = None,
        **extra_params: Any,
    ) -> None:
        super().__init__(size, experiment, chip_coordinate, execution_instance, name)
        self.has_threshold = True
        given = locals()
        for parameter in self.parameter_names:
            setattr(self, parameter, parameter_of(parameter, given[parameter]))
        self.method = method
        self.alpha = alpha
        self.leaky = leaky
        self.fire = fire
        self.exponential = exponential
        self.subthreshold_adaptation = subthreshold_adaptation
        self.spike_triggered_adaptation = spike_triggered_adaptation
        self._set_recording(extra_params)
        for extra, value in extra_params.items():
            if extra not in ALIASES and extra not in self.parameter_names:
                setattr(self, extra, as_parameter(value))
        self.output_type = self._output_type()
        self._mask: Any = np.ones(size, dtype=bool) if isinstance(size, int) else None
        if fire is False and not is_zero(self.refractory_time.model_value) and self._warns_of_refractory_time:
            warnings.warn(f"{type(self).__name__}: refractory_time has no effect without fire", stacklevel=2)

    _warns_of_refractory_time = True

    def _set_recording(self, extra_params: Dict[str, Any]) -> None:
        for option, default in _RECORDING.items():
            setattr(self, option, extra_params.pop(option, default))
        places = self.placement_constraint
        if places is not None and len(places) != self.size:
            raise ValueError(
                f"{type(self).__name__}: placement_constraint must have one entry for each of the {self.size} neurons, "
                f"got {len(places)}"
            )
        compartments = compartments_of(self.neuron_structure)
        if compartments is not None and len(compartments) > 1:
            raise ValueError("Currently only neurons with a single compartment are supported.")

    @property
    def adapts(self) -> bool:
        """Whether there is an adaptation current."""
        return self.subthreshold_adaptation or self.spike_triggered_adaptation

    def _output_type(self) -> Any:
        fields = ["current", "membrane_cadc", "membrane_madc"]
        fields += ["spikes"] if self.fire else []
        fields += ["adaptation_cadc", "adaptation_madc"] if self.adapts else []
        return handle_type(*fields)

    @property
    def mask(self) -> Any:
        """Neurons that may spike, a boolean array: dropout sets it, the simulated spikes do not change."""
        return self._mask

    @mask.setter
    def mask(self, value: Any) -> None:
        if isinstance(value, Tensor):
            value = value.detach().cpu().numpy()
        self._mask = None if value is None else np.asarray(value, dtype=bool)

    def __getattr__(self, name: str) -> Any:
        if name in ALIASES:
            return super().__getattr__(ALIASES[name])
        return super().__getattr__(name)

    def params_dict(self) -> Dict[str, Any]:
        """The parameter objects by name."""
        return {name: getattr(self, name) for name in self.parameter_names}

    # Simulation

    def forward_func(self, *inputs: Any, hw_data: Any = None) -> Any:
        """The handle of the observables for the sum of the inputs; `hw_data` takes the place of the model's values."""
        output = self._run(self._summed(inputs), hw_data)
        return self.output_type(**{name: output[name] for name in self.output_type.__dataclass_fields__})

    def _summed(self, inputs: Tuple[Any, ...]) -> Tensor:
        """The sum of the graded spikes."""
        summed: List[Tensor] = [handle.graded_spikes for handle in inputs if hasattr(handle, "graded_spikes")]
        if len(summed) != len(inputs) or not all(isinstance(part, Tensor) for part in summed) or not summed:
            raise AssertionError(f"{self._describe()}: each input must be a handle with graded_spikes, got {inputs!r}")
        total = summed[0]
        for part in summed[1:]:
            total = total + part
        return total

    def _run(self, input: Tensor, hw_data: Any) -> Dict[str, Optional[Tensor]]:
        measured = _readout.measured(hw_data, input.shape[0])
        result = functional.aelif(
            input,
            **self._arguments(self._computed_names()),
            **self._flags(),
            **self._surrogate(),
            outputs="spikes+membrane+current+adaptation" if self.fire else "membrane+current+adaptation",
            measured_spikes=measured.spikes if self.fire else None,
            measured_membrane=measured.membrane,
            measured_adaptation=measured.adaptation if self.adapts else None,
        )
        return {
            "current": result.current,
            "membrane_cadc": result.membrane,
            "membrane_madc": measured.madc,
            "spikes": result.spikes,
            "adaptation_cadc": result.adaptation,
            "adaptation_madc": measured.adaptation_madc,
        }

    def _arguments(self, names: Tuple[str, ...]) -> Dict[str, Any]:
        """Arguments of the operators: model values, and the time step."""
        return {**{name: self._argument(name) for name in names}, "dt": self.experiment.dt}

    def _surrogate(self) -> Dict[str, Any]:
        return {"surrogate": self.method, "alpha": self._alpha()}

    def _flags(self) -> Dict[str, Any]:
        return {flag: bool(getattr(self, flag)) for flag in _FLAGS}

    def _computed_names(self) -> Tuple[str, ...]:
        names = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance", "refractory_time")
        exponential = ("exponential_slope", "exponential_threshold") if self.exponential else ()
        below = ("subthreshold_adaptation_strength",) if self.subthreshold_adaptation else ()
        above = ("spike_triggered_adaptation_increment",) if self.spike_triggered_adaptation else ()
        return names + exponential + below + above + (("tau_adap",) if self.adapts else ())

    def _argument(self, name: str) -> Tensor:
        """The model value of a parameter as the operators take it."""
        if name == "tau_mem" and self.leak_conductance.model_value is not None:
            capacitance = as_argument(self.membrane_capacitance, f"{type(self).__name__}: membrane_capacitance")
            return capacitance / as_argument(self.leak_conductance, f"{type(self).__name__}: leak_conductance")
        return as_argument(getattr(self, name), f"{type(self).__name__}: {name}")

    def plain_value(self, name: str) -> Any:
        """The model value of a parameter as a number, or as the tensor itself."""
        if name == "tau_mem" and self.leak_conductance.model_value is not None:
            argument = self._argument(name)
            return float(argument) if argument.dim() == 0 and not argument.requires_grad else argument
        value = getattr(self, name).model_value
        return value if isinstance(value, Tensor) else float(value)

    def _alpha(self) -> float:
        return float(getattr(self.alpha, "model_value", self.alpha))

    # Hardware

    def post_process(self, hw_observables: Any, runtime_s: Any) -> Any:
        """Measured spikes and readings as `hw_data`: readings on the time grid, in model units."""
        return _readout.post_process(self, hw_observables)

    def extra_repr(self) -> str:
        return f"size={self.size}"


class LIF(AELIF):
    """Leaky integrate-and-fire neurons, see `gradspike.functional.lif`; arguments as in `AELIF`.

    Example:
        >>> import gradspike.spiking as hxsnn
        >>> experiment = hxsnn.Experiment(mock=True)
        >>> neurons = hxsnn.LIF(2, experiment, leak=0.0, reset=0.0, threshold=1.0)
        >>> handle = neurons(hxsnn.SynapseHandle(graded_spikes=torch.full((4, 1, 2), 8.0)))
        >>> hxsnn.run(experiment, 4)
        >>> handle.spikes[:, 0, 0]
        tensor([0., 0., 1., 0.])
    """

    output_type = LIFObservables
    parameter_names = _LIF_PARAMETERS

    def __init__(self, size: int, experiment: Any, *args: Any, **options: Any) -> None:
        flags = {"exponential": False, "subthreshold_adaptation": False, "spike_triggered_adaptation": False}
        super().__init__(size, experiment, *args, **{**options, **flags})

    def _run(self, input: Tensor, hw_data: Any) -> Dict[str, Optional[Tensor]]:
        if not (self.leaky and self.fire):
            return super()._run(input, hw_data)
        measured = _readout.measured(hw_data, input.shape[0])
        result = functional.lif(
            input,
            **self._arguments(self._computed_names()),
            **self._surrogate(),
            outputs="spikes+membrane+current",
            measured_spikes=measured.spikes,
            measured_membrane=measured.membrane,
        )
        return {
            "current": result.current,
            "membrane_cadc": result.membrane,
            "membrane_madc": measured.madc,
            "spikes": result.spikes,
        }


class LI(AELIF):
    """Leaky integrators, the readout, see `gradspike.functional.li`.

    Takes `leak`, `tau_mem`, `tau_syn`, `i_synin_gm`, `membrane_capacitance`, `leak_conductance`, `synapse_dac_bias` and
    the arguments of recording and of traces of `AELIF`; those of spikes are accepted and have no effect.

    Example:
        >>> import gradspike.spiking as hxsnn
        >>> experiment = hxsnn.Experiment(mock=True)
        >>> handle = hxsnn.LI(2, experiment, leak=0.0)(hxsnn.SynapseHandle(graded_spikes=torch.zeros(4, 1, 2)))
        >>> hxsnn.run(experiment, 4)
        >>> handle.membrane_cadc.shape
        torch.Size([4, 1, 2])
    """

    output_type = LIObservables
    parameter_names = _LIF_PARAMETERS
    _warns_of_refractory_time = False

    def __init__(
        self,
        size: int,
        experiment: Any,
        leak: Any = MODEL_DEFAULTS["leak"],
        tau_mem: Any = MODEL_DEFAULTS["tau_mem"],
        tau_syn: Any = MODEL_DEFAULTS["tau_syn"],
        i_synin_gm: Any = MODEL_DEFAULTS["i_synin_gm"],
        membrane_capacitance: Any = None,
        leak_conductance: Any = None,
        synapse_dac_bias: Any = MODEL_DEFAULTS["synapse_dac_bias"],
        **options: Any,
    ) -> None:
        fixed = {
            "fire": False,
            "exponential": False,
            "subthreshold_adaptation": False,
            "spike_triggered_adaptation": False,
            "refractory_time": 0.0,
            "enable_spike_recording": False,
        }
        super().__init__(
            size,
            experiment,
            leak=leak,
            tau_mem=tau_mem,
            tau_syn=tau_syn,
            i_synin_gm=i_synin_gm,
            membrane_capacitance=membrane_capacitance,
            leak_conductance=leak_conductance,
            synapse_dac_bias=synapse_dac_bias,
            **{**options, **fixed},
        )
        self.has_threshold = "threshold" in options

    def _run(self, input: Tensor, hw_data: Any) -> Dict[str, Optional[Tensor]]:
        measured = _readout.measured(hw_data, input.shape[0])
        result = functional.li(
            input,
            **self._arguments(("leak", "tau_mem", "tau_syn", "membrane_capacitance")),
            outputs="membrane+current",
            measured_membrane=measured.membrane,
        )
        return {"current": result.current, "membrane_cadc": result.membrane, "membrane_madc": measured.madc}


class EventPropLIF(LIF):
    """LIF neurons with the EventProp adjoint, after an `EventPropSynapse`; see `gradspike.functional.eventprop_lif`.

    The forward pass is another one than that of `LIF`: a new current drives the membrane in the same step and the last
    row of the input is ignored. `membrane_capacitance`, `leak_conductance`, `refractory_time`, `method` and `alpha`
    have no effect in the simulation. On a backend the neurons are those of the chip, and measured spikes take the place
    of the model's. `gradspike.nn.ExactEventPropLIF` has the forward pass of `LIF`.
    """

    def forward_func(self, *inputs: Any, hw_data: Any = None) -> Any:
        """The handle of the observables of one input, `graded_spikes [2, time, batch, size]`."""
        if len(inputs) != 1:
            raise AssertionError(f"{self._describe()}: EventProp neurons take one input, got {len(inputs)}")
        graded = getattr(inputs[0], "graded_spikes", None)
        if not isinstance(graded, Tensor) or graded.dim() != 4 or graded.shape[0] != 2:
            got = list(graded.shape) if isinstance(graded, Tensor) else inputs[0]
            raise AssertionError(
                f"{self._describe()}: the input must be the handle of an EventPropSynapse, graded_spikes "
                f"[2, time, batch, {self.size}], got {got}"
            )
        measured = _readout.measured(hw_data, graded.shape[1])
        names = ("leak", "reset", "threshold", "tau_mem", "tau_syn")
        arguments: Dict[str, Any] = {name: as_argument(getattr(self, name), f"EventPropLIF: {name}") for name in names}
        current_input, adjoint = graded.unbind(0)  # backwards one stack, where indices fill zeros for each channel
        result = functional.eventprop_lif(
            current_input,
            adjoint,
            **arguments,
            dt=self.experiment.dt,
            outputs="spikes+membrane+current",
            measured_spikes=measured.spikes,
            measured_membrane=measured.membrane,
        )
        current = None if measured.spikes is not None else result.current
        return LIFObservables(current=current, spikes=result.spikes, membrane_cadc=result.membrane)
