"""Adaptive exponential integrate-and-fire (AdEx) neurons."""

from typing import TYPE_CHECKING, Optional, Tuple, Union

import torch
from torch import Tensor

from gradspike.functional._aelif import AELIFOutput
from gradspike.functional._arguments import number
from gradspike.nn._checks import SURROGATES, check_size, choice, name_of, positive
from gradspike.nn.neurons import _Neurons

_PARAMETERS = (
    "leak",
    "reset",
    "threshold",
    "tau_mem",
    "tau_syn",
    "membrane_capacitance",
    "refractory_time",
    "exponential_slope",
    "exponential_threshold",
    "subthreshold_adaptation_strength",
    "spike_triggered_adaptation_increment",
    "tau_adap",
)
_FLAGS = ("leaky", "fire", "exponential", "subthreshold_adaptation", "spike_triggered_adaptation")


class AELIF(_Neurons):
    """Adaptive exponential integrate-and-fire (AdEx) neurons, see `gradspike.functional.aelif`.

    `forward(input [time, batch, size]) -> spikes [time, batch, size]`; where `fire` is False, the membrane instead. The
    defaults give unit gain, resting potential 0 below a threshold of 1, and an exponential that sets in at 0.8.

    Args:
        size: Number of neurons, at least 1.
        name: Name of the population; default: the path of the module in the network that is read.
        leak: Leak potential. Each parameter is a number, a tensor (becomes a buffer) or a `torch.nn.Parameter`
            (trained), 0-dim or `[size]`.
        reset: Reset potential.
        threshold: Threshold.
        tau_mem: Membrane time constant [s].
        tau_syn: Synaptic time constant [s].
        membrane_capacitance: Capacitance; the gain of an input is dt / membrane_capacitance.
        refractory_time: Refractory time [s].
        exponential_slope: Slope of the exponential.
        exponential_threshold: Potential around which the exponential sets in.
        subthreshold_adaptation_strength: Adaptation current per unit of the membrane above the leak.
        spike_triggered_adaptation_increment: What a spike adds to the adaptation current.
        tau_adap: Time constant of the adaptation [s].
        dt: Time step [s].
        leaky: Whether the membrane leaks.
        fire: Whether there are spikes, with reset and refractory time.
        exponential: Whether the exponential drives the membrane.
        subthreshold_adaptation: Whether the membrane drives the adaptation.
        spike_triggered_adaptation: Whether spikes increment the adaptation.
        surrogate: Surrogate derivative of the spike.
        alpha: Steepness of the surrogate.

    Note:
        A network for the chip has `LIF` and `LI` populations: there the layer is read where `leaky` and `fire` are its
        only terms, which makes it a `LIF`.

    Example:
        >>> AELIF(3)(torch.full((5, 1, 3), 4.0)).sum(0)
        tensor([[3., 3., 3.]])
    """

    if TYPE_CHECKING:  # at run time TorchScript takes the type of each attribute from its value
        exponential_slope: Union[float, Tensor]
        exponential_threshold: Union[float, Tensor]
        subthreshold_adaptation_strength: Union[float, Tensor]
        spike_triggered_adaptation_increment: Union[float, Tensor]
        tau_adap: Union[float, Tensor]

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
    ) -> None:
        super().__init__()
        check_size("AELIF", "size", size)
        self.size = size
        self.population = name_of("AELIF", name)
        values = (
            leak, reset, threshold, tau_mem, tau_syn, membrane_capacitance, refractory_time, exponential_slope,
            exponential_threshold, subthreshold_adaptation_strength, spike_triggered_adaptation_increment, tau_adap,
        )  # fmt: skip
        for parameter, value in zip(_PARAMETERS, values):
            self._set_parameter(parameter, value)
        self.dt = positive("AELIF", "dt", dt)
        self.leaky = bool(leaky)
        self.fire = bool(fire)
        self.exponential = bool(exponential)
        self.subthreshold_adaptation = bool(subthreshold_adaptation)
        self.spike_triggered_adaptation = bool(spike_triggered_adaptation)
        self.surrogate = choice("AELIF", "surrogate", surrogate, SURROGATES)
        self.alpha = float(alpha)

    # The conditions are on the attribute's type, which TorchScript decides when it compiles: no branch is left.
    def _run(
        self, input: Tensor, outputs: str, state: Optional[Tensor]
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
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
        slope = self.exponential_slope if isinstance(self.exponential_slope, Tensor) else number(self.exponential_slope)
        exponential_threshold = (
            self.exponential_threshold
            if isinstance(self.exponential_threshold, Tensor)
            else number(self.exponential_threshold)
        )
        strength = (
            self.subthreshold_adaptation_strength
            if isinstance(self.subthreshold_adaptation_strength, Tensor)
            else number(self.subthreshold_adaptation_strength)
        )
        increment = (
            self.spike_triggered_adaptation_increment
            if isinstance(self.spike_triggered_adaptation_increment, Tensor)
            else number(self.spike_triggered_adaptation_increment)
        )
        tau_adap = self.tau_adap if isinstance(self.tau_adap, Tensor) else number(self.tau_adap)
        spikes, membrane, current, adaptation, final_state = torch.ops.gradspike.aelif(
            input,
            leak,
            reset,
            threshold,
            tau_mem,
            tau_syn,
            capacitance,
            refractory_time,
            slope,
            exponential_threshold,
            strength,
            increment,
            tau_adap,
            dt=self.dt,
            leaky=self.leaky,
            fire=self.fire,
            exponential=self.exponential,
            subthreshold_adaptation=self.subthreshold_adaptation,
            spike_triggered_adaptation=self.spike_triggered_adaptation,
            surrogate=self.surrogate,
            alpha=self.alpha,
            outputs=outputs,
            initial_state=state,
            population=self.population,
        )
        return spikes, membrane, current, adaptation, final_state

    def forward(self, input: Tensor) -> Tensor:
        result = self._run(input, "spikes" if self.fire else "membrane", None)
        return result[0] if self.fire else result[1]

    @torch.jit.export
    def traces(self, input: Tensor, state: Optional[Tensor] = None) -> AELIFOutput:
        """Spikes, membrane, current and adaptation of the whole run, and the state after it."""
        spikes, membrane, current, adaptation, final_state = self._run(
            input, "spikes+membrane+current+adaptation", state
        )
        return AELIFOutput(spikes, membrane, current, adaptation, final_state)

    @torch.jit.export
    def step(self, input: Tensor, state: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        """One step: `(input [batch, size], state) -> (spikes [batch, size], state)`, the bits of the whole run.

        The membrane takes the place of the spikes where `fire` is False. `state` None starts a run; the state is
        `[4, batch, size]`.
        """
        result = self._run(input.unsqueeze(0), "spikes" if self.fire else "membrane", state)
        return (result[0] if self.fire else result[1]).squeeze(0), result[4]

    def extra_repr(self) -> str:
        off = [flag for flag in _FLAGS if not getattr(self, flag)]
        return self._parameter_repr((*_PARAMETERS, "dt")) + "".join(f", {flag}=False" for flag in off)
