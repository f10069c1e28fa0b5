"""Deprecated neurons with exponential decays, on the operators of the present ones."""

import warnings
from typing import Any, NamedTuple, Optional, Union

import torch
from torch import Tensor

from gradspike import functional

Value = Union[float, Tensor]

_STEP = 1.0
"""Time step of the operators here, whose time constants are counted in steps."""


class ExpLIFOutput(NamedTuple):
    """Spikes, membrane and current `[time, batch, neuron]`."""

    spikes: Tensor
    membrane: Tensor
    current: Tensor


class ExpLIOutput(NamedTuple):
    """Membrane and current `[time, batch, neuron]`."""

    membrane: Tensor
    current: Tensor


def decaying(tau: Value, dt: float) -> Tensor:
    """exp(-dt/tau): what is left after a step."""
    return torch.exp(-dt / torch.as_tensor(tau))


def _steps(left: Value) -> Value:
    """The time constant in steps for which the operators leave `left` of a value: 1 - 1/tau = left."""
    return 1.0 / (1.0 - left)


def time_constant(tau: Value, dt: float) -> Value:
    """The time constant [s] for which the operators leave exp(-dt/tau) of a value in a step of dt."""
    left = decaying(torch.as_tensor(tau, dtype=torch.float64), dt)
    tau_of_operators = dt * _steps(left)
    return tau_of_operators if isinstance(tau, Tensor) else float(tau_of_operators)


def exp_cuba_lif(
    input: Tensor,
    leak: Value,
    reset: Value,
    threshold: Value,
    tau_mem_exp: Value,
    tau_syn_exp: Value,
    method: str = "superspike",
    alpha: float = 50.0,
    measured_spikes: Optional[Tensor] = None,
    measured_membrane: Optional[Tensor] = None,
) -> ExpLIFOutput:
    """LIF neurons `v = a (v - leak) + leak + (1 - a) i`, then `i = b i + input`, with the decays a and b."""
    tau_mem, tau_syn = _steps(tau_mem_exp), _steps(tau_syn_exp)
    result = functional.lif(
        input,
        leak,
        reset,
        threshold,
        tau_mem,
        tau_syn,
        membrane_capacitance=tau_mem,
        dt=_STEP,
        surrogate=method,
        alpha=alpha,
        outputs="spikes+membrane+current",
        measured_spikes=measured_spikes,
        measured_membrane=measured_membrane,
    )
    return ExpLIFOutput(result.spikes, result.membrane, result.current)


def exp_cuba_li(
    input: Tensor, leak: Value, tau_mem_exp: Value, tau_syn_exp: Value, measured_membrane: Optional[Tensor] = None
) -> ExpLIOutput:
    """Integrators `v = a (v - leak) + leak + (1 - a) i`, then `i = b i + input`, with the decays a and b."""
    tau_mem, tau_syn = _steps(tau_mem_exp), _steps(tau_syn_exp)
    result = functional.li(
        input,
        leak,
        tau_mem,
        tau_syn,
        membrane_capacitance=tau_mem,
        dt=_STEP,
        outputs="membrane+current",
        measured_membrane=measured_membrane,
    )
    return ExpLIOutput(result.membrane, result.current)


def exp_cuba_lif_integration(
    input: Tensor,
    *,
    leak: Value,
    reset: Value,
    threshold: Value,
    tau_syn_exp: Value,
    tau_mem_exp: Value,
    method: str = "superspike",
    alpha: float = 50.0,
    hw_data: Any = None,
) -> ExpLIFOutput:
    """Deprecated: see `exp_cuba_lif`; `tau_mem_exp` and `tau_syn_exp` are exp(-dt/tau)."""
    warnings.warn("exp_cuba_lif_integration is deprecated: use cuba_lif_integration", DeprecationWarning, stacklevel=2)
    spikes, membrane = (None, None) if hw_data is None else hw_data
    return exp_cuba_lif(input, leak, reset, threshold, tau_mem_exp, tau_syn_exp, method, alpha, spikes, membrane)


def exp_cuba_li_integration(
    input: Tensor, *, leak: Value, tau_syn_exp: Value, tau_mem_exp: Value, hw_data: Optional[Tensor] = None
) -> ExpLIOutput:
    """Deprecated: see `exp_cuba_li`; `tau_mem_exp` and `tau_syn_exp` are exp(-dt/tau)."""
    warnings.warn("exp_cuba_li_integration is deprecated: use cuba_li_integration", DeprecationWarning, stacklevel=2)
    return exp_cuba_li(input, leak, tau_mem_exp, tau_syn_exp, hw_data)
