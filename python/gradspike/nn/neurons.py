"""Leaky integrate-and-fire neurons and leaky integrators."""

import numbers
from typing import TYPE_CHECKING, Optional, Tuple, Union

import torch
from torch import Tensor

from gradspike.functional._arguments import number
from gradspike.functional._lif import LIFOutput, LIOutput
from gradspike.nn._checks import SURROGATES, check_size, choice, name_of, positive


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
        check_size("LIF", "size", size)
        self.size = size
        self.population = name_of("LIF", name)
        self._set_parameter("leak", leak)
        self._set_parameter("reset", reset)
        self._set_parameter("threshold", threshold)
        self._set_parameter("tau_mem", tau_mem)
        self._set_parameter("tau_syn", tau_syn)
        self._set_parameter("membrane_capacitance", membrane_capacitance)
        self._set_parameter("refractory_time", refractory_time)
        self.dt = positive("LIF", "dt", dt)
        self.surrogate = choice("LIF", "surrogate", surrogate, SURROGATES)
        self.alpha = float(alpha)

    # The conditions are on the attribute's type, which TorchScript decides when it compiles: no branch is left.
    def _run(self, input: Tensor, outputs: str, state: Optional[Tensor]) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
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
        check_size("LI", "size", size)
        self.size = size
        self.population = name_of("LI", name)
        self._set_parameter("leak", leak)
        self._set_parameter("tau_mem", tau_mem)
        self._set_parameter("tau_syn", tau_syn)
        self._set_parameter("membrane_capacitance", membrane_capacitance)
        self.dt = positive("LI", "dt", dt)

    def _run(self, input: Tensor, outputs: str, state: Optional[Tensor]) -> Tuple[Tensor, Tensor, Tensor]:
        leak = self.leak if isinstance(self.leak, Tensor) else number(self.leak)
        tau_mem = self.tau_mem if isinstance(self.tau_mem, Tensor) else number(self.tau_mem)
        tau_syn = self.tau_syn if isinstance(self.tau_syn, Tensor) else number(self.tau_syn)
        capacitance = (
            self.membrane_capacitance
            if isinstance(self.membrane_capacitance, Tensor)
            else number(self.membrane_capacitance)
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
