"""A dense projection and its neurons as one layer."""

from typing import Callable, Optional, Tuple, Union

import torch
from torch import Tensor

from gradspike.functional._arguments import number
from gradspike.functional._lif import LIFOutput
from gradspike.nn._checks import SURROGATES, choice, name_of, positive
from gradspike.nn.neurons import LIF, _Neurons
from gradspike.nn.prepacked_synapse import PrepackedSynapse
from gradspike.nn.synapse import Synapse


class SynapseLIF(Synapse, _Neurons):
    """`Synapse` and `LIF` in one operator, see `gradspike.functional.synapse_lif`: same bits, less time and memory.

    `forward(spikes [time, batch, in_features]) -> spikes [time, batch, out_features]`.

    Args:
        in_features: Number of pre-synaptic neurons, at least 1.
        out_features: Number of neurons, at least 1.
        name: Name of the projection on the chip; default: the path of the module in the network that is read.
        population: Name of the population on the chip; default: that of the projection.
        scale: Model weight to LSB, and so on to device and dtype: as in `Synapse`.
        min_weight: See `Synapse`.
        max_weight: See `Synapse`.
        receptor: See `Synapse`.
        rounding: See `Synapse`.
        gradient: See `Synapse`.
        units: See `Synapse`.
        transform: See `Synapse`.
        mask: See `Synapse`.
        device: See `Synapse`.
        dtype: See `Synapse`.
        leak: Leak potential, and so on to alpha: as in `LIF`.
        reset: See `LIF`.
        threshold: See `LIF`.
        tau_mem: See `LIF`.
        tau_syn: See `LIF`.
        membrane_capacitance: See `LIF`.
        refractory_time: See `LIF`.
        dt: See `LIF`.
        surrogate: See `LIF`.
        alpha: See `LIF`.
        recompute_every: K > 0 keeps the states before every K steps for the backward and computes the traces again.
        spike_format: Of `forward`: "float", or "uint8" and "packed" for inference without gradients.
        packed_input: Whether the spikes come as bits, uint8 `[time, batch, ceil(in_features / 8)]`.

    Attributes:
        weight: Parameter `[out_features, in_features]`.
        projection: The name of the projection, "" where none was given.
        population: The name of the population, "" where none was given.

    Example:
        >>> layer = SynapseLIF(5, 120, name="hidden")
        >>> layer(torch.zeros(38, 1, 5)).shape
        torch.Size([38, 1, 120])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        name: Optional[str] = None,
        population: Optional[str] = None,
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
        spike_format: str = "float",
        packed_input: bool = False,
    ) -> None:
        super().__init__(
            in_features,
            out_features,
            name=name,
            scale=scale,
            min_weight=min_weight,
            max_weight=max_weight,
            receptor=receptor,
            rounding=rounding,
            gradient=gradient,
            units=units,
            transform=transform,
            mask=mask,
            device=device,
            dtype=dtype,
        )
        self.size = out_features
        self.population = name_of("SynapseLIF", population)
        self._set_parameter("leak", leak)
        self._set_parameter("reset", reset)
        self._set_parameter("threshold", threshold)
        self._set_parameter("tau_mem", tau_mem)
        self._set_parameter("tau_syn", tau_syn)
        self._set_parameter("membrane_capacitance", membrane_capacitance)
        self._set_parameter("refractory_time", refractory_time)
        self.dt = positive("SynapseLIF", "dt", dt)
        self.surrogate = choice("SynapseLIF", "surrogate", surrogate, SURROGATES)
        self.alpha = float(alpha)
        if isinstance(recompute_every, bool) or not isinstance(recompute_every, int) or recompute_every < 0:
            raise ValueError(
                f"SynapseLIF: recompute_every must be a whole number of at least 0, got {recompute_every!r}"
            )
        self.recompute_every = recompute_every
        self.spike_format = choice("SynapseLIF", "spike_format", spike_format, ("float", "uint8", "packed"))
        self.packed_input = bool(packed_input)

    @classmethod
    def from_layers(cls, synapse: Synapse, lif: LIF, *, recompute_every: int = 0) -> "SynapseLIF":
        """The two layers as one, which shares their parameters and carries their names.

        Example:
            >>> synapse, lif = Synapse(5, 120), LIF(120)
            >>> SynapseLIF.from_layers(synapse, lif).weight is synapse.weight
            True
        """
        if synapse.out_features != lif.size:
            raise ValueError(
                f"SynapseLIF: lif must have as many neurons as synapse has outputs, {synapse.out_features}, "
                f"got {lif.size}"
            )
        layer = cls(
            synapse.in_features,
            synapse.out_features,
            name=synapse.projection,
            population=lif.population,
            scale=float(synapse.scale),
            min_weight=synapse.min_weight,
            max_weight=synapse.max_weight,
            receptor=synapse.receptor,
            rounding=synapse.rounding,
            gradient=synapse.gradient,
            units=synapse.units,
            transform=synapse.transform,
            mask=synapse.mask,
            device="meta",  # nothing is drawn: the parameter is that of the synapse
            dtype=synapse.weight.dtype,
            leak=lif.leak,
            reset=lif.reset,
            threshold=lif.threshold,
            tau_mem=lif.tau_mem,
            tau_syn=lif.tau_syn,
            membrane_capacitance=lif.membrane_capacitance,
            refractory_time=lif.refractory_time,
            dt=lif.dt,
            surrogate=lif.surrogate,
            alpha=lif.alpha,
            recompute_every=recompute_every,
        )
        layer.weight = synapse.weight
        layer.mask = synapse.mask
        return layer.train(synapse.training)

    # The conditions are on the attribute's type, which TorchScript decides when it compiles: no branch is left.
    def _run(
        self, spikes: Tensor, outputs: str, spike_format: str, state: Optional[Tensor]
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        if not torch.jit.is_scripting():
            self._check_first_forward()
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
        z, membrane, current, final_state = torch.ops.gradspike.synapse_lif(
            spikes,
            self.effective_weight(),
            leak,
            reset,
            threshold,
            tau_mem,
            tau_syn,
            capacitance,
            refractory_time,
            scale=self.scale,
            min_weight=self.min_weight,
            max_weight=self.max_weight,
            rounding=self.rounding,
            gradient=self.gradient,
            units=self.units,
            dt=self.dt,
            surrogate=self.surrogate,
            alpha=self.alpha,
            outputs=outputs,
            spike_format=spike_format,
            packed_input=self.packed_input,
            initial_state=state,
            recompute_every=self.recompute_every,
            projection=self.projection,
            population=self.population,
        )
        return z, membrane, current, final_state

    def forward(self, spikes: Tensor) -> Tensor:
        return self._run(spikes, "spikes", self.spike_format, None)[0]

    @torch.jit.export
    def traces(self, spikes: Tensor, state: Optional[Tensor] = None) -> LIFOutput:
        """Spikes, membrane and current of the whole run, and the state after it. The spikes are floats."""
        z, membrane, current, final_state = self._run(spikes, "spikes+membrane+current", "float", state)
        return LIFOutput(z, membrane, current, final_state)

    @torch.jit.export
    def step(self, spikes: Tensor, state: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """One step: `(spikes [batch, in_features], state) -> (spikes [batch, out_features], state)`, the bits of the
        whole run. `state` None starts a run; the state is `[3, batch, out_features]`.
        """
        z, _, _, final_state = self._run(spikes.unsqueeze(0), "spikes", self.spike_format, state)
        return z.squeeze(0), final_state

    def prepacked(self) -> PrepackedSynapse:
        """Not there: the layer is more than its projection.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"{type(self).__name__}: prepacked weights are those of a Synapse alone")

    def extra_repr(self) -> str:
        names = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance", "refractory_time", "dt")
        text = Synapse.extra_repr(self) + ", neurons: " + self._parameter_repr(names)
        return text + (f", recompute_every={self.recompute_every}" if self.recompute_every else "")
