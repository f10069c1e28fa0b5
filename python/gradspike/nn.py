"""Modules: plain tensors in and out, scriptable, picklable, deep-copyable.

Modules hold parameters and numbers only. Nothing is registered when they are constructed, and no state of a run is
kept in them: `step` takes and gives the state. Axes are `[time, batch, neuron]`.
"""

import math
import numbers
import warnings
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional, Tuple, Type, Union

import torch
from torch import Tensor

from gradspike.functional import LIFOutput, LIOutput, WeightStatistics, _number, suggest_scale, weight_statistics

__all__ = ["LI", "LIF", "Recorder", "Synapse"]

_SPIKES_PER_STEP = 0.05
"""Expected spikes per input and step of the default initialisation: sparse input, as time-to-first-spike codes give."""

_SQUARED_PSP = 2.5
"""Sum over steps of the squared response of the default neuron to one input of weight 1: tau / (4 dt) for
tau_mem = tau_syn = tau = 10 dt and unit gain, the integral of ((t / tau) exp(-t / tau))**2."""

_SIGMAS_IN_RANGE = 2.5
"""Bounds of the default scale in standard deviations of the initial weight: 1.2 % of a normal weight clips, and with
the power of two below, at most 4 % of it lies within half an LSB of zero."""


class Synapse(torch.nn.Module):
    """Dense projection whose forward pass uses the integers that the chip holds.

    `forward(spikes [.., in_features]) -> [.., out_features]`, see `gradspike.functional.graded_spikes`.

    Args:
        in_features: Number of pre-synaptic neurons, at least 1.
        out_features: Number of post-synaptic neurons, at least 1.
        name: Name of the projection on the chip; default: the path of the module in the network that is read.
        scale: Model weight to LSB, above 0. Default: `default_scale`, from sizes and initialisation.
        min_weight: Lower bound [LSB], an integer at most 0.
        max_weight: Upper bound [LSB], an integer at least 0; beyond 63 an input needs several synapse rows.
        receptor: "excitatory" sets the bounds to [0, max_weight], "inhibitory" to [min_weight, 0]; None or "signed"
            keeps both.
        rounding: "half_even", "half_away", or "none" for a float product.
        gradient: Straight-through rule to the weight: "clipped", "identity" or "returning".
        units: "model", or "lsb" to leave the sum in LSB.
        transform: Module or function from the parameter to the weight that is quantised; None: the parameter itself.
        mask: Boolean `[out_features, in_features]`, False where no connection exists; kept as a buffer.
        device: Device of the parameter.
        dtype: dtype of the parameter.

    Attributes:
        weight: Parameter `[out_features, in_features]`.
        projection: The name, "" where none was given.

    Example:
        >>> synapse = Synapse(5, 120, name="hidden")
        >>> synapse(torch.zeros(38, 1, 5)).shape
        torch.Size([38, 1, 120])
    """

    if TYPE_CHECKING:  # at run time the annotation would hide from TorchScript whether there is a mask
        mask: Optional[Tensor]

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        name: Optional[str] = None,
        scale: Optional[float] = None,
        min_weight: float = -63,
        max_weight: float = 63,
        receptor: Optional[str] = None,
        rounding: str = "half_even",
        gradient: str = "clipped",
        units: str = "model",
        transform: Optional[Callable[[Tensor], Tensor]] = None,
        mask: Optional[Tensor] = None,
        device: Optional[Union[torch.device, str]] = None,
        dtype: Optional[torch.dtype] = None,
    ) -> None:
        super().__init__()
        _check_size("Synapse", "in_features", in_features)
        _check_size("Synapse", "out_features", out_features)
        self.in_features = in_features
        self.out_features = out_features
        self.projection = _name("Synapse", name)
        self.receptor = "signed" if receptor is None else receptor
        self.min_weight, self.max_weight = _bounds(self.receptor, min_weight, max_weight)
        self.scale = _scale(scale, default_scale(in_features, self.min_weight, self.max_weight))
        self.rounding = _choice("Synapse", "rounding", rounding, ("half_even", "half_away", "none"))
        self.gradient = _choice("Synapse", "gradient", gradient, ("clipped", "identity", "returning"))
        self.units = _choice("Synapse", "units", units, ("model", "lsb"))
        self.transform = transform
        self.weight = torch.nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        self.register_buffer("mask", _mask(mask, out_features, in_features, device))
        self._checked = False
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the weight from normal(0, sigma), sigma = 1/sqrt(in_features * nu * eps2).

        nu = 0.05 spikes per input and step and eps2 = 2.5, the sum of the squared response of the default neuron: the
        membrane then fluctuates with a standard deviation of about 1, the default threshold. Excitatory and inhibitory
        projections take the magnitude with their sign.

        Source: fluctuation-driven initialisation, Rossbroich, Gygax and Zenke 2022, doi 10.1088/2634-4386/ac97bb.
        """
        with torch.no_grad():
            self.weight.normal_(0.0, _initial_sigma(self.in_features))
            if self.receptor == "excitatory":
                self.weight.abs_()
            if self.receptor == "inhibitory":
                self.weight.abs_().neg_()
        self._checked = False
        if self.weight.device.type != "meta":
            self.check_weights()

    def effective_weight(self) -> Tensor:
        """The weight that is quantised: the parameter after transform and mask."""
        weight: Tensor = self.weight
        if self.transform is not None:
            weight = self.transform(weight)
        mask = self.mask
        if mask is not None:
            weight = weight * mask
        return weight

    def forward(self, spikes: Tensor) -> Tensor:
        if not torch.jit.is_scripting():
            self._check_first_forward()
        result: Tensor = torch.ops.gradspike.graded_spikes(
            spikes,
            self.effective_weight(),
            self.scale,
            self.min_weight,
            self.max_weight,
            rounding=self.rounding,
            gradient=self.gradient,
            units=self.units,
            projection=self.projection,
        )
        return result

    def statistics(self) -> WeightStatistics:
        """Statistics of the effective weight; waits for the device. `rounding="none"` counts as "half_even"."""
        with torch.no_grad():
            weight = self.effective_weight()
        rounding = "half_even" if self.rounding == "none" else self.rounding
        return weight_statistics(weight, self.scale, self.min_weight, self.max_weight, rounding)

    def check_weights(self) -> WeightStatistics:
        """Statistics of the weight; warns where every weight other than zero rounds to zero. Waits for the device.

        Runs by itself after initialisation and, where that did not warn, at the first eager call on a CPU.
        """
        statistics = self.statistics()
        if statistics.to_zero > 0 and statistics.largest <= 0.5:
            self._checked = True
            suggested = suggest_scale(self.effective_weight().detach(), self.min_weight, self.max_weight)
            warnings.warn(
                f"Synapse{_label(self.projection)}: all weights round to zero, the largest is {statistics.largest:.3g} "
                f"LSB: try scale={suggested.scale:g} instead of {self.scale:g}",
                stacklevel=3,
            )
        return statistics

    def _check_first_forward(self) -> None:
        """Never on CUDA, where reading a number would wait for the device, nor while the module is traced."""
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or self._checked:
            return
        if self.weight.device.type == "cpu" and _holds_numbers(self.weight):
            self._checked = True
            self.check_weights()

    def extra_repr(self) -> str:
        text = f"{self.in_features}, {self.out_features}, scale={self.scale:g}, "
        text += f"weights=[{self.min_weight:g}, {self.max_weight:g}]"
        for attribute, default in (("rounding", "half_even"), ("gradient", "clipped"), ("units", "model")):
            value = getattr(self, attribute)
            text += "" if value == default else f", {attribute}={value}"
        return text + (f", name={self.projection}" if self.projection else "")


def default_scale(in_features: int, min_weight: float = -63.0, max_weight: float = 63.0) -> float:
    """Scale for the initial weights of `Synapse`: the largest power of two with 2.5 sigma inside the larger bound.

    Under 5 % of the initial weights then clip, and under 5 % round to zero. 1 where both bounds are 0.

    Example:
        >>> default_scale(5), default_scale(120)
        (16.0, 64.0)
    """
    largest = max(max_weight, -min_weight)
    if largest <= 0.0:
        return 1.0
    return 2.0 ** math.floor(math.log2(largest / (_SIGMAS_IN_RANGE * _initial_sigma(in_features))))


def _initial_sigma(in_features: int) -> float:
    return 1.0 / math.sqrt(in_features * _SPIKES_PER_STEP * _SQUARED_PSP)


class _Neurons(torch.nn.Module):
    """Base of the neuron modules: a parameter that is a tensor is registered, a number stays a number."""

    size: int
    population: str

    if TYPE_CHECKING:  # at run time TorchScript takes the type of each attribute from its value
        leak: Union[float, Tensor]
        reset: Union[float, Tensor]
        threshold: Union[float, Tensor]
        tau_mem: Union[float, Tensor]
        tau_syn: Union[float, Tensor]
        membrane_capacitance: Union[float, Tensor]
        refractory_time: Union[float, Tensor]

    def _set_parameter(self, name: str, value: Union[float, Tensor]) -> None:
        kind = type(self).__name__
        if isinstance(value, torch.nn.Parameter):
            self.register_parameter(name, value)
        elif isinstance(value, Tensor):
            self.register_buffer(name, value)
        elif isinstance(value, numbers.Real):  # NumPy's scalars too
            setattr(self, name, float(value))
        else:
            raise TypeError(f"{kind}: {name} must be a number or a tensor, got {type(value).__name__}")
        if isinstance(value, Tensor) and tuple(value.shape) not in ((), (self.size,)):
            raise ValueError(f"{kind}: {name} must have shape [] or [{self.size}], got {list(value.shape)}")

    def _parameter_repr(self, names: Tuple[str, ...]) -> str:
        values = {name: getattr(self, name) for name in names}
        shown = (
            f"{name}={list(value.shape)}" if isinstance(value, Tensor) else f"{name}={value:g}"
            for name, value in values.items()
        )
        return f"{self.size}, " + ", ".join(shown) + (f", name={self.population}" if self.population else "")


class LIF(_Neurons):
    """Leaky integrate-and-fire neurons, see `gradspike.functional.lif`.

    `forward(input [time, batch, size]) -> spikes [time, batch, size]`. The defaults give unit gain, and resting
    potential 0 below a threshold of 1.

    Args:
        size: Number of neurons, at least 1.
        name: Name of the population on the chip; default: the path of the module in the network that is read.
        leak: Leak potential. Each parameter is a number, a tensor (becomes a buffer) or a `torch.nn.Parameter`
            (trained), 0-dim or `[size]`.
        reset: Reset potential.
        threshold: Threshold.
        tau_mem: Membrane time constant [s].
        tau_syn: Synaptic time constant [s].
        membrane_capacitance: Capacitance; the gain of an input is dt / membrane_capacitance.
        refractory_time: Refractory time [s].
        dt: Time step [s].
        surrogate: Surrogate derivative of the spike.
        alpha: Steepness of the surrogate.

    Example:
        >>> LIF(3)(torch.full((5, 1, 3), 4.0)).sum(0)
        tensor([[3., 3., 3.]])
    """

    def __init__(
        self,
        size: int,
        *,
        name: Optional[str] = None,
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
    ) -> None:
        super().__init__()
        _check_size("LIF", "size", size)
        self.size = size
        self.population = _name("LIF", name)
        self._set_parameter("leak", leak)
        self._set_parameter("reset", reset)
        self._set_parameter("threshold", threshold)
        self._set_parameter("tau_mem", tau_mem)
        self._set_parameter("tau_syn", tau_syn)
        self._set_parameter("membrane_capacitance", membrane_capacitance)
        self._set_parameter("refractory_time", refractory_time)
        self.dt = _positive("LIF", "dt", dt)
        self.surrogate = _choice("LIF", "surrogate", surrogate, ("superspike",))
        self.alpha = float(alpha)

    # The conditions are on the attribute's type, which TorchScript decides when it compiles: no branch is left.
    def _run(self, input: Tensor, outputs: str, state: Optional[Tensor]) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        leak = self.leak if isinstance(self.leak, Tensor) else _number(self.leak)
        reset = self.reset if isinstance(self.reset, Tensor) else _number(self.reset)
        threshold = self.threshold if isinstance(self.threshold, Tensor) else _number(self.threshold)
        tau_mem = self.tau_mem if isinstance(self.tau_mem, Tensor) else _number(self.tau_mem)
        tau_syn = self.tau_syn if isinstance(self.tau_syn, Tensor) else _number(self.tau_syn)
        capacitance = (
            self.membrane_capacitance
            if isinstance(self.membrane_capacitance, Tensor)
            else _number(self.membrane_capacitance)
        )
        refractory_time = (
            self.refractory_time if isinstance(self.refractory_time, Tensor) else _number(self.refractory_time)
        )
        spikes, membrane, current, final_state = torch.ops.gradspike.lif(
            input,
            leak,
            reset,
            threshold,
            tau_mem,
            tau_syn,
            capacitance,
            refractory_time,
            dt=self.dt,
            surrogate=self.surrogate,
            alpha=self.alpha,
            outputs=outputs,
            initial_state=state,
            population=self.population,
        )
        return spikes, membrane, current, final_state

    def forward(self, input: Tensor) -> Tensor:
        return self._run(input, "spikes", None)[0]

    @torch.jit.export
    def traces(self, input: Tensor, state: Optional[Tensor] = None) -> LIFOutput:
        """Spikes, membrane and current of the whole run, and the state after it."""
        spikes, membrane, current, final_state = self._run(input, "spikes+membrane+current", state)
        return LIFOutput(spikes, membrane, current, final_state)

    @torch.jit.export
    def step(self, input: Tensor, state: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """One step: `(input [batch, size], state) -> (spikes [batch, size], state)`, the bits of the whole run.

        `state` None starts a run; the state is `[3, batch, size]`.
        """
        spikes, _, _, final_state = self._run(input.unsqueeze(0), "spikes", state)
        return spikes.squeeze(0), final_state

    def extra_repr(self) -> str:
        names = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance", "refractory_time", "dt")
        return self._parameter_repr(names)


class LI(_Neurons):
    """Leaky integrators, the readout, see `gradspike.functional.li`.

    `forward(input [time, batch, size]) -> membrane [time, batch, size]`.

    Args:
        size: Number of neurons, at least 1.
        name: Name of the population on the chip; default: the path of the module in the network that is read.
        leak: Leak potential. Each parameter is a number, a tensor (becomes a buffer) or a `torch.nn.Parameter`
            (trained), 0-dim or `[size]`.
        tau_mem: Membrane time constant [s].
        tau_syn: Synaptic time constant [s].
        membrane_capacitance: Capacitance; the gain of an input is dt / membrane_capacitance.
        dt: Time step [s].

    Example:
        >>> LI(3)(torch.zeros(5, 1, 3)).shape
        torch.Size([5, 1, 3])
    """

    def __init__(
        self,
        size: int,
        *,
        name: Optional[str] = None,
        leak: Union[float, Tensor] = 0.0,
        tau_mem: Union[float, Tensor] = 10e-6,
        tau_syn: Union[float, Tensor] = 10e-6,
        membrane_capacitance: Union[float, Tensor] = 10e-6,
        dt: float = 1e-6,
    ) -> None:
        super().__init__()
        _check_size("LI", "size", size)
        self.size = size
        self.population = _name("LI", name)
        self._set_parameter("leak", leak)
        self._set_parameter("tau_mem", tau_mem)
        self._set_parameter("tau_syn", tau_syn)
        self._set_parameter("membrane_capacitance", membrane_capacitance)
        self.dt = _positive("LI", "dt", dt)

    def _run(self, input: Tensor, outputs: str, state: Optional[Tensor]) -> Tuple[Tensor, Tensor, Tensor]:
        leak = self.leak if isinstance(self.leak, Tensor) else _number(self.leak)
        tau_mem = self.tau_mem if isinstance(self.tau_mem, Tensor) else _number(self.tau_mem)
        tau_syn = self.tau_syn if isinstance(self.tau_syn, Tensor) else _number(self.tau_syn)
        capacitance = (
            self.membrane_capacitance
            if isinstance(self.membrane_capacitance, Tensor)
            else _number(self.membrane_capacitance)
        )
        membrane, current, final_state = torch.ops.gradspike.li(
            input,
            leak,
            tau_mem,
            tau_syn,
            capacitance,
            dt=self.dt,
            outputs=outputs,
            initial_state=state,
            population=self.population,
        )
        return membrane, current, final_state

    def forward(self, input: Tensor) -> Tensor:
        return self._run(input, "membrane", None)[0]

    @torch.jit.export
    def traces(self, input: Tensor, state: Optional[Tensor] = None) -> LIOutput:
        """Membrane and current of the whole run, and the state after it."""
        membrane, current, final_state = self._run(input, "membrane+current", state)
        return LIOutput(membrane, current, final_state)

    @torch.jit.export
    def step(self, input: Tensor, state: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """One step: `(input [batch, size], state) -> (membrane [batch, size], state)`, the bits of the whole run.

        `state` None starts a run; the state is `[2, batch, size]`.
        """
        membrane, _, final_state = self._run(input.unsqueeze(0), "membrane", state)
        return membrane.squeeze(0), final_state

    def extra_repr(self) -> str:
        return self._parameter_repr(("leak", "tau_mem", "tau_syn", "membrane_capacitance", "dt"))


class Recorder:
    """Records the spikes of the inner LIF layers of a model.

    Called, it runs the model with empty records; as a context manager it records every call inside. Names are those
    of the populations, or else the path of the module. Several calls of one layer, as when a run is streamed in
    chunks, are joined along time. The records are part of the graph: regularisers on spike counts can train.

    Args:
        model: A module with `LIF` layers, not a scripted one.

    Attributes:
        spikes: Dictionary from name to spikes `[time, batch, neuron]`.

    Raises:
        ValueError: the model has no `LIF` layer that hooks can see, or two carry the same name.

    Example:
        >>> recorder = Recorder(torch.nn.Sequential(Synapse(2, 4), LIF(4, name="hidden"), Synapse(4, 3), LI(3)))
        >>> output = recorder(torch.zeros(5, 1, 2))
        >>> recorder.spikes["hidden"].shape
        torch.Size([5, 1, 4])
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self._records: Dict[str, List[Tensor]] = {}
        self._hooks: List[torch.utils.hooks.RemovableHandle] = []
        self._layers = _lif_layers(model)

    @property
    def spikes(self) -> Dict[str, Tensor]:
        return {
            name: records[0] if len(records) == 1 else torch.cat(records) for name, records in self._records.items()
        }

    def __enter__(self) -> "Recorder":
        self._records = {}
        self._hooks = [layer.register_forward_hook(self._hook(name)) for name, layer in self._layers.items()]
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self:
            return self.model(*args, **kwargs)

    def _hook(self, name: str) -> Callable[[torch.nn.Module, Any, Tensor], None]:
        def record(module: torch.nn.Module, inputs: Any, output: Tensor) -> None:
            self._records.setdefault(name, []).append(output)

        return record


def _lif_layers(model: torch.nn.Module) -> Dict[str, LIF]:
    layers: Dict[str, LIF] = {}
    for path, module in model.named_modules():
        if not isinstance(module, LIF):
            continue
        name = module.population or path
        if name in layers:
            raise ValueError(f"Recorder: model must have one LIF layer per name, got two of the name {name!r}")
        layers[name] = module
    if not layers:
        raise ValueError(f"Recorder: model must have LIF layers in eager form, got none in {type(model).__name__}")
    return layers


def _holds_numbers(tensor: Tensor) -> bool:
    """False for fake, distributed and functorch tensors, whose numbers cannot be read."""
    return type(tensor.data) is Tensor and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def _label(name: str) -> str:
    return f" {name!r}" if name else ""


def _check_size(kind: str, argument: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{kind}: {argument} must be a whole number of at least 1, got {value!r}")


def _name(kind: str, name: Optional[str]) -> str:
    if name is not None and not isinstance(name, str):
        raise TypeError(f"{kind}: name must be a str or None, got {type(name).__name__}")
    return name or ""


def _choice(kind: str, argument: str, value: str, choices: Tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{kind}: {argument} must be one of {', '.join(choices)}, got {value!r}")
    return value


def _positive(kind: str, argument: str, value: float) -> float:
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
        raise ValueError(f"{kind}: {argument} must be finite and above 0, got {value!r}")
    return float(value)


def _scale(scale: Optional[float], default: float) -> float:
    return default if scale is None else _positive("Synapse", "scale", scale)


def _bounds(receptor: str, min_weight: float, max_weight: float) -> Tuple[float, float]:
    _choice("Synapse", "receptor", receptor, ("signed", "excitatory", "inhibitory"))
    low = 0.0 if receptor == "excitatory" else float(min_weight)
    high = 0.0 if receptor == "inhibitory" else float(max_weight)
    if not low <= 0.0 <= high:
        raise ValueError(f"Synapse: min_weight and max_weight must enclose 0, got {min_weight} and {max_weight}")
    return low, high


def _mask(
    mask: Optional[Tensor], out_features: int, in_features: int, device: Optional[Union[torch.device, str]]
) -> Optional[Tensor]:
    if mask is None:
        return None
    if mask.dtype != torch.bool or tuple(mask.shape) != (out_features, in_features):
        raise ValueError(
            f"Synapse: mask must be boolean of shape [{out_features}, {in_features}], "
            f"got {mask.dtype} of shape {list(mask.shape)}"
        )
    return mask.to(device) if device is not None else mask.clone()
