"""Synapses and neurons of the EventProp family: pairs of tensors between them, the second for the adjoint."""

from typing import Optional, Tuple, Union

import torch
from torch import Tensor

from gradspike.functional._arguments import number
from gradspike.functional._eventprop import EventPropLIFOutput, eventprop_graded_spikes
from gradspike.functional._lif import LIFOutput
from gradspike.nn._checks import check_size, name_of, positive
from gradspike.nn.neurons import _Neurons
from gradspike.nn.prepacked_synapse import PrepackedSynapse
from gradspike.nn.synapse import Synapse


class EventPropSynapse(Synapse):
    """`Synapse` for neurons of the EventProp family, see `gradspike.functional.eventprop_graded_spikes`.

    `forward(spikes [.., in_features]) -> (graded_spikes, adjoint)`, both `[.., out_features]`: the arguments of
    `EventPropLIF` and `ExactEventPropLIF`. Arguments and attributes are those of `Synapse`.

    Example:
        >>> synapse, neurons = EventPropSynapse(5, 120), ExactEventPropLIF(120)
        >>> neurons(*synapse(torch.zeros(38, 1, 5))).shape
        torch.Size([38, 1, 120])
    """

    def forward(self, spikes: Tensor) -> Tuple[Tensor, Tensor]:  # type: ignore[override]
        if not torch.jit.is_scripting():
            self._check_first_forward()
            return eventprop_graded_spikes(
                spikes,
                self.effective_weight(),
                self.scale,
                self.min_weight,
                self.max_weight,
                self.rounding,
                self.gradient,
                self.units,
                self.projection,
            )
        graded, adjoint = torch.ops.gradspike.eventprop_graded_spikes(
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
        return graded, adjoint

    def prepacked(self) -> PrepackedSynapse:
        """Not there: the layer is more than its projection.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"{type(self).__name__}: prepacked weights are those of a Synapse alone")


def _check_untrained(kind: str, module: torch.nn.Module) -> None:
    for name, _ in module.named_parameters():
        raise ValueError(f"{kind}: {name} must not be a Parameter: EventProp has no gradient to it")


class EventPropLIF(_Neurons):
    """Neurons in hxtorch's EventProp scheme, see `gradspike.functional.eventprop_lif`.

    `forward(input, adjoint) -> spikes`, all `[time, batch, size]`; both arguments come from `EventPropSynapse`. The
    integrator is not that of `LIF`, and row 0 is the initial state: use `ExactEventPropLIF` for a network that is put
    on a chip.

    Args:
        size: Number of neurons, at least 1.
        name: Name of the population on the chip; default: the path of the module in the network that is read.
        leak: Leak potential. Each parameter is a number or a tensor, 0-dim or `[size]`; it gets no gradient.
        reset: Reset potential.
        threshold: Threshold.
        tau_mem: Membrane time constant [s].
        tau_syn: Synaptic time constant [s].
        dt: Time step [s].

    Note:
        Not read as part of a network for the chip: `ExactEventPropLIF` is.

    Example:
        >>> EventPropLIF(3)(torch.full((5, 1, 3), 4.0), torch.zeros(5, 1, 3)).sum(0)
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
        dt: float = 1e-6,
    ) -> None:
        super().__init__()
        check_size("EventPropLIF", "size", size)
        self.size = size
        self.population = name_of("EventPropLIF", name)
        self._set_parameter("leak", leak)
        self._set_parameter("reset", reset)
        self._set_parameter("threshold", threshold)
        self._set_parameter("tau_mem", tau_mem)
        self._set_parameter("tau_syn", tau_syn)
        self.dt = positive("EventPropLIF", "dt", dt)
        _check_untrained("EventPropLIF", self)

    def _run(self, input: Tensor, adjoint: Tensor, outputs: str) -> Tuple[Tensor, Tensor, Tensor]:
        leak = self.leak if isinstance(self.leak, Tensor) else number(self.leak)
        reset = self.reset if isinstance(self.reset, Tensor) else number(self.reset)
        threshold = self.threshold if isinstance(self.threshold, Tensor) else number(self.threshold)
        tau_mem = self.tau_mem if isinstance(self.tau_mem, Tensor) else number(self.tau_mem)
        tau_syn = self.tau_syn if isinstance(self.tau_syn, Tensor) else number(self.tau_syn)
        spikes, membrane, current = torch.ops.gradspike.eventprop_lif(
            input,
            adjoint,
            leak,
            reset,
            threshold,
            tau_mem,
            tau_syn,
            dt=self.dt,
            outputs=outputs,
            population=self.population,
        )
        return spikes, membrane, current

    def forward(self, input: Tensor, adjoint: Tensor) -> Tensor:
        return self._run(input, adjoint, "spikes")[0]

    @torch.jit.export
    def traces(self, input: Tensor, adjoint: Tensor) -> EventPropLIFOutput:
        """Spikes, membrane and current of the whole run; only the spikes carry a gradient."""
        spikes, membrane, current = self._run(input, adjoint, "spikes+membrane+current")
        return EventPropLIFOutput(spikes, membrane, current)

    def extra_repr(self) -> str:
        return self._parameter_repr(("leak", "reset", "threshold", "tau_mem", "tau_syn", "dt"))


class ExactEventPropLIF(_Neurons):
    """The neurons of `LIF` with gradients of spike times, see `gradspike.functional.exact_eventprop_lif`.

    `forward(input, adjoint) -> spikes`, all `[time, batch, size]`; both arguments come from `EventPropSynapse`.

    Args:
        size: Number of neurons, at least 1.
        name: Name of the population on the chip; default: the path of the module in the network that is read.
        leak: Leak potential. Each parameter is a number or a tensor, 0-dim or `[size]`; it gets no gradient.
        reset: Reset potential.
        threshold: Threshold.
        tau_mem: Membrane time constant [s].
        tau_syn: Synaptic time constant [s].
        membrane_capacitance: Capacitance; the gain of an input is dt / membrane_capacitance.
        refractory_time: Refractory time [s].
        dt: Time step [s].

    Example:
        >>> ExactEventPropLIF(3)(torch.full((5, 1, 3), 4.0), torch.zeros(5, 1, 3)).sum(0)
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
    ) -> None:
        super().__init__()
        check_size("ExactEventPropLIF", "size", size)
        self.size = size
        self.population = name_of("ExactEventPropLIF", name)
        self._set_parameter("leak", leak)
        self._set_parameter("reset", reset)
        self._set_parameter("threshold", threshold)
        self._set_parameter("tau_mem", tau_mem)
        self._set_parameter("tau_syn", tau_syn)
        self._set_parameter("membrane_capacitance", membrane_capacitance)
        self._set_parameter("refractory_time", refractory_time)
        self.dt = positive("ExactEventPropLIF", "dt", dt)
        _check_untrained("ExactEventPropLIF", self)

    def _run(
        self, input: Tensor, adjoint: Tensor, outputs: str, state: Optional[Tensor]
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
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
        spikes, membrane, current, final_state = torch.ops.gradspike.exact_eventprop_lif(
            input,
            adjoint,
            leak,
            reset,
            threshold,
            tau_mem,
            tau_syn,
            capacitance,
            refractory_time,
            dt=self.dt,
            outputs=outputs,
            initial_state=state,
            population=self.population,
        )
        return spikes, membrane, current, final_state

    def forward(self, input: Tensor, adjoint: Tensor) -> Tensor:
        return self._run(input, adjoint, "spikes", None)[0]

    @torch.jit.export
    def traces(self, input: Tensor, adjoint: Tensor, state: Optional[Tensor] = None) -> LIFOutput:
        """Spikes, membrane and current of the whole run, and the state after it; only the spikes carry a gradient."""
        spikes, membrane, current, final_state = self._run(input, adjoint, "spikes+membrane+current", state)
        return LIFOutput(spikes, membrane, current, final_state)

    def extra_repr(self) -> str:
        names = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance", "refractory_time", "dt")
        return self._parameter_repr(names)
