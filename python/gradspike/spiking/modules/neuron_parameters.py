"""Arguments that the neurons have in common."""

from typing import Any, Dict

from torch import Tensor

from gradspike.functional._arguments import number
from gradspike.spiking.parameter import HXTransformedModelParameter, as_parameter

REFERENCE_CAPACITANCE = 10e-6
"""Membrane capacitance of the model at the full capacitance of the chip [s]."""

FULL_CAPACITANCE = 63
"""Largest setting of the membrane capacitance on the chip (6 bit)."""

MODEL_DEFAULTS: Dict[str, Any] = {
    "leak": 80,
    "reset": 80,
    "threshold": 125,
    "tau_mem": 10e-6,
    "tau_syn": 10e-6,
    "i_synin_gm": 500,
    "membrane_capacitance": None,
    "leak_conductance": None,
    "refractory_time": 1e-6,
    "synapse_dac_bias": 600,
    "holdoff_time": 0.0,
    "exponential_slope": 50e-3,
    "exponential_threshold": 110,
    "subthreshold_adaptation_strength": 1,
    "spike_triggered_adaptation_increment": 1,
    "clock_scale_adaptation_pulse": (5, 5),
    "tau_adap": 100e-6,
    "leak_adaptation": None,
}
"""Defaults of hxtorch; potentials are readings of the CADC [LSB], times in seconds."""

ALIASES = {
    "v_leak": "leak",
    "v_reset": "reset",
    "v_threshold": "threshold",
    "tau_membrane": "tau_mem",
    "tau_syn_E": "tau_syn",
    "tau_syn_I": "tau_syn",
    "i_synin_gm_E": "i_synin_gm",
    "i_synin_gm_I": "i_synin_gm",
    "tau_refrac": "refractory_time",
}
"""Other names of parameters."""


def capacitance_on_chip(model_value: Any) -> Any:
    """Setting of the membrane capacitance for a capacitance of the model [s]."""
    setting = model_value / REFERENCE_CAPACITANCE * FULL_CAPACITANCE
    return setting.int() if isinstance(setting, Tensor) else int(setting)


def parameter_of(name: str, value: Any) -> Any:
    """A parameter object of an argument; the default capacitance is a new one for each layer."""
    if name == "membrane_capacitance" and value is None:
        return HXTransformedModelParameter(REFERENCE_CAPACITANCE, capacitance_on_chip)
    return as_parameter(value)


def as_argument(parameter: Any, what: str) -> Tensor:
    """The model value as the operators take it.

    Raises:
        TypeError: the value is neither a number nor a tensor.
    """
    value = parameter.model_value
    if isinstance(value, Tensor):
        return value
    try:
        return number(float(value))
    except (TypeError, ValueError):
        raise TypeError(f"{what} must be a number or a tensor to compute with, got {value!r}") from None


def is_zero(value: Any) -> bool:
    """Whether a number, or every entry of a tensor, is 0."""
    return bool((value == 0).all()) if isinstance(value, Tensor) else value == 0
