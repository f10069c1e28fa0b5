"""Recurrent leaky integrate-and-fire neurons with their two projections."""

from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple, Union

import torch
from torch import Tensor

from gradspike.functional._arguments import number
from gradspike.functional._recurrent import RecurrentLIFOutput
from gradspike.nn._checks import SURROGATES, check_size, choice, name_of, positive
from gradspike.nn.neurons import _Neurons
from gradspike.nn.synapse import _initial_sigma, default_scale


class RecurrentLIF(_Neurons):
    """Recurrently connected LIF neurons with an input projection, see `gradspike.functional.recurrent_lif`.

    `forward(spikes [time, batch, in_features]) -> spikes [time, batch, size]`. Several populations with a cycle between
    them are one module over their concatenation, with a block mask.

    Args:
        in_features: Number of input neurons, at least 1.
        size: Number of neurons, at least 1.
        name: Name of the population on the chip; the projections are `<name>_input` and `<name>_recurrent`. Default:
            the path of the module in the network that is read.
        mask: Boolean `[size, size]` = `[post, pre]`, False where no recurrent connection exists; kept as a buffer.
        input_mask: Boolean `[size, in_features]`, likewise for the connections of the inputs.
        input_scale: Model weight to LSB of the input projection. Default: `default_scale(in_features)`.
        input_min_weight: Lower bound [LSB], an integer at most 0.
        input_max_weight: Upper bound [LSB], an integer at least 0.
        recurrent_scale: Model weight to LSB of the recurrent projection. Default: `default_scale(size)`.
        recurrent_min_weight: Lower bound [LSB], an integer at most 0.
        recurrent_max_weight: Upper bound [LSB], an integer at least 0.
        rounding: "half_even", "half_away", or "none" for float products.
        gradient: Straight-through rule to the weights: "clipped", "identity" or "returning".
        units: "model", or "lsb" to leave the sums in LSB.
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
        recompute_every: K > 0 saves memory: the backward computes the traces of K steps at a time again.
        device: Device of the weights.
        dtype: dtype of the weights.

    Attributes:
        input_weight: Parameter `[size, in_features]`.
        recurrent_weight: Parameter `[size, size]`.

    Example:
        >>> layer = RecurrentLIF(5, 32, name="hidden")
        >>> layer(torch.zeros(38, 1, 5)).shape
        torch.Size([38, 1, 32])

        On the chip a spike of the population reaches the population again in the next step:

        >>> from gradspike import chip
        >>> network = chip.read(layer)
        >>> [(p["name"], p["delay_steps"]) for p in network.description["projections"]]
        [('hidden_input', 0), ('hidden_recurrent', 1)]
        >>> spikes = (torch.rand(38, 1, 5) < 0.2).float()
        >>> torch.equal(network.deploy()(spikes).outputs, layer(spikes))
        True
    """

    if TYPE_CHECKING:  # at run time the annotation would hide from TorchScript whether there is a mask
        mask: Optional[Tensor]
        input_mask: Optional[Tensor]

    def __init__(
        self,
        in_features: int,
        size: int,
        *,
        name: Optional[str] = None,
        mask: Optional[Tensor] = None,
        input_mask: Optional[Tensor] = None,
        input_scale: Optional[float] = None,
        input_min_weight: float = -63,
        input_max_weight: float = 63,
        recurrent_scale: Optional[float] = None,
        recurrent_min_weight: float = -63,
        recurrent_max_weight: float = 63,
        rounding: str = "half_even",
        gradient: str = "clipped",
        units: str = "model",
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
        recompute_every: int = 0,
        device: Optional[Union[torch.device, str]] = None,
        dtype: Optional[torch.dtype] = None,
    ) -> None:
        super().__init__()
        kind = "RecurrentLIF"
        check_size(kind, "in_features", in_features)
        check_size(kind, "size", size)
        self.in_features = in_features
        self.size = size
        self.population, self.projection, self.recurrent_projection = "", "", ""
        if name_of(kind, name):
            for attribute, key in self.keys_of(name_of(kind, name)).items():
                setattr(self, attribute, key)
        self.input_min_weight, self.input_max_weight = float(input_min_weight), float(input_max_weight)
        self.recurrent_min_weight, self.recurrent_max_weight = float(recurrent_min_weight), float(recurrent_max_weight)
        self.input_scale = _scale("input_scale", input_scale, in_features, self.input_min_weight, self.input_max_weight)
        self.recurrent_scale = _scale(
            "recurrent_scale", recurrent_scale, size, self.recurrent_min_weight, self.recurrent_max_weight
        )
        self.rounding = choice(kind, "rounding", rounding, ("half_even", "half_away", "none"))
        self.gradient = choice(kind, "gradient", gradient, ("clipped", "identity", "returning"))
        self.units = choice(kind, "units", units, ("model", "lsb"))
        self._set_parameter("leak", leak)
        self._set_parameter("reset", reset)
        self._set_parameter("threshold", threshold)
        self._set_parameter("tau_mem", tau_mem)
        self._set_parameter("tau_syn", tau_syn)
        self._set_parameter("membrane_capacitance", membrane_capacitance)
        self._set_parameter("refractory_time", refractory_time)
        self.dt = positive(kind, "dt", dt)
        self.surrogate = choice(kind, "surrogate", surrogate, SURROGATES)
        self.alpha = float(alpha)
        self.recompute_every = _recompute_every(recompute_every)
        self.input_weight = torch.nn.Parameter(torch.empty(size, in_features, device=device, dtype=dtype))
        self.recurrent_weight = torch.nn.Parameter(torch.empty(size, size, device=device, dtype=dtype))
        self.register_buffer("mask", _mask("mask", mask, (size, size), device))
        self.register_buffer("input_mask", _mask("input_mask", input_mask, (size, in_features), device))
        self.reset_parameters()

    def __setstate__(self, state: Dict[str, Any]) -> None:
        """Takes also what was pickled before there was an `input_mask`."""
        super().__setstate__(state)
        self._buffers.setdefault("input_mask", None)

    @staticmethod
    def keys_of(name: str) -> Dict[str, str]:
        """Names on the chip by attribute: the population `name`, and its projections."""
        return {"population": name, "projection": f"{name}_input", "recurrent_projection": f"{name}_recurrent"}

    def reset_parameters(self) -> None:
        """Draws both weights as `Synapse.reset_parameters` does, each for its own number of inputs."""
        if self.input_weight.is_meta:
            return  # as in Synapse.reset_parameters
        with torch.no_grad():
            self.input_weight.normal_(0.0, _initial_sigma(self.in_features))
            self.recurrent_weight.normal_(0.0, _initial_sigma(self.size))

    def effective_input_weight(self) -> Tensor:
        """The weight of the inputs after their mask."""
        weight: Tensor = self.input_weight
        input_mask = self.input_mask
        if input_mask is not None:
            weight = weight * input_mask
        return weight

    # The conditions are on the attribute's type, which TorchScript decides when it compiles: no branch is left.
    def _run(self, spikes: Tensor, outputs: str, state: Optional[Tensor]) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        leak = self.leak if isinstance(self.leak, Tensor) else number(self.leak)
        reset = self.reset if isinstance(self.reset, Tensor) else number(self.reset)
        threshold = self.threshold if isinstance(self.threshold, Tensor) else number(self.threshold)
        tau_mem = self.tau_mem if isinstance(self.tau_mem, Tensor) else number(self.tau_mem)
        tau_syn = self.tau_syn if isinstance(self.tau_syn, Tensor) else number(self.tau_syn)
        capacitance = (
            self.membrane_capacitance
            if isinstance(self.membrane_capacitance, Tensor)
            else number(self.membrane_capacitance)
        )
        refractory_time = (
            self.refractory_time if isinstance(self.refractory_time, Tensor) else number(self.refractory_time)
        )
        out, membrane, current, final_state = torch.ops.gradspike.recurrent_lif(
            spikes,
            self.effective_input_weight(),
            self.recurrent_weight,
            leak,
            reset,
            threshold,
            tau_mem,
            tau_syn,
            capacitance,
            refractory_time,
            recurrent_mask=self.mask,
            input_scale=self.input_scale,
            input_min_weight=self.input_min_weight,
            input_max_weight=self.input_max_weight,
            recurrent_scale=self.recurrent_scale,
            recurrent_min_weight=self.recurrent_min_weight,
            recurrent_max_weight=self.recurrent_max_weight,
            rounding=self.rounding,
            gradient=self.gradient,
            units=self.units,
            dt=self.dt,
            surrogate=self.surrogate,
            alpha=self.alpha,
            outputs=outputs,
            initial_state=state,
            recompute_every=self.recompute_every,
            projection=self.projection,
            recurrent_projection=self.recurrent_projection,
            population=self.population,
        )
        return out, membrane, current, final_state

    def forward(self, spikes: Tensor) -> Tensor:
        return self._run(spikes, "spikes", None)[0]

    @torch.jit.export
    def traces(self, spikes: Tensor, state: Optional[Tensor] = None) -> RecurrentLIFOutput:
        """Spikes, membrane and current of the whole run, and the state after it."""
        out, membrane, current, final_state = self._run(spikes, "spikes+membrane+current", state)
        return RecurrentLIFOutput(out, membrane, current, final_state)

    @torch.jit.export
    def step(self, spikes: Tensor, state: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """One step: `(spikes [batch, in_features], state) -> (spikes [batch, size], state)`, the bits of the whole run.

        `state` None starts a run; the state is `[4, batch, size]`.
        """
        out, _, _, final_state = self._run(spikes.unsqueeze(0), "spikes", state)
        return out.squeeze(0), final_state

    def extra_repr(self) -> str:
        names = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance", "refractory_time", "dt")
        scales = f"input_scale={self.input_scale:g}, recurrent_scale={self.recurrent_scale:g}"
        return f"{self.in_features}, {self._parameter_repr(names)}, {scales}"


def _scale(argument: str, scale: Optional[float], features: int, min_weight: float, max_weight: float) -> float:
    if not min_weight <= 0.0 <= max_weight:
        raise ValueError(
            f"RecurrentLIF: {argument[:-6]}_min_weight and {argument[:-6]}_max_weight must enclose 0, "
            f"got {min_weight:g} and {max_weight:g}"
        )
    return (
        default_scale(features, min_weight, max_weight) if scale is None else positive("RecurrentLIF", argument, scale)
    )


def _recompute_every(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"RecurrentLIF: recompute_every must be a whole number of at least 0, got {value!r}")
    return value


def _mask(
    argument: str, mask: Optional[Tensor], shape: Tuple[int, int], device: Optional[Union[torch.device, str]]
) -> Optional[Tensor]:
    if mask is None:
        return None
    if mask.dtype != torch.bool or tuple(mask.shape) != shape:
        raise ValueError(
            f"RecurrentLIF: {argument} must be boolean of shape {list(shape)}, got {mask.dtype} of shape "
            f"{list(mask.shape)}"
        )
    return mask.to(device) if device is not None else mask.clone()
