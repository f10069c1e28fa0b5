"""Neurons as functions: the fused operators, and a loop in Python for step code of your own."""

from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import torch
from torch import Tensor

from gradspike import functional
from gradspike.spiking._readout import measured as measured_of
from gradspike.spiking.functional.threshold import threshold as spike_threshold
from gradspike.spiking.functional.unterjubel import Unterjubel

Value = Union[float, Tensor]


class AELIFIntegration(NamedTuple):
    """Traces `[time, batch, neuron]`; what a backend's fast converter gave is passed on."""

    membrane: Tensor
    membrane_madc_hw: Any
    current: Tensor
    adaptation: Tensor
    adaptation_madc_hw: Any
    spikes: Tensor


@dataclass(frozen=True)
class CuBaStepCode:
    """One time step of the neurons as a text of Python, for `cuba_aelif_integration`.

    The text is run once per step with these names: `t`; `input`; the state `i, v, w, z, c` (current, membrane,
    adaptation, spikes, remaining refractory steps); the parameters of `cuba_aelif_integration` and `dt`;
    `spike(x)`, the threshold with its surrogate; `measured(name, value)`, which puts what was measured in the place of
    a value; `torch`. It assigns the state anew.
    """

    leaky: bool = True
    fire: bool = True
    refractory: bool = False
    exponential: bool = False
    subthreshold_adaptation: bool = False
    spike_triggered_adaptation: bool = False

    def generate(self) -> str:
        """The text; unchanged, it stands for the fused operator."""
        adapts = self.subthreshold_adaptation or self.spike_triggered_adaptation
        terms = ["i"]
        terms += ["g_l * (leak - v)"] if self.leaky else []
        terms += ["g_l * exp_slope * torch.exp((v - exp_threshold) / exp_slope)"] if self.exponential else []
        drive = " + ".join(terms) + (" - w" if adapts else "")
        lines = [f"u = v + dt / c_mem * ({drive})", "i = i * (1 - dt / tau_syn) + input[t]"]
        lines += ["v = measured('membrane', u)"]
        lines += ["z = measured('spikes', spike(v - threshold))"] if self.fire else []
        if adapts:
            below = " + dt / tau_adap * subthreshold_adaptation_strength * (v - leak)"
            above = " + spike_triggered_adaptation_increment * z"
            lines += [
                "w = measured('adaptation', w * (1 - dt / tau_adap)"
                + (below if self.subthreshold_adaptation else "")
                + (above if self.spike_triggered_adaptation and self.fire else "")
                + ")"
            ]
        if self.fire:
            lines += ["v = measured('membrane', (1 - z.detach()) * v + z.detach() * reset)"]
        if self.refractory and self.fire:
            lines += [
                "blocked = (c > 0).to(v.dtype)",
                "v = measured('membrane', (1 - blocked) * v + blocked * reset)",
                "z = measured('spikes', (1 - blocked) * z)",
                "c = (1 - z.detach()) * (c - blocked).clamp(min=0) + z.detach() * refractory_time / dt",
            ]
        return "\n".join(lines)


def cuba_aelif_integration(
    input: Tensor,
    *,
    leak: Value,
    reset: Value,
    threshold: Value,
    tau_syn: Value,
    c_mem: Value,
    g_l: Value,
    refractory_time: Value,
    method: str = "superspike",
    alpha: float = 50.0,
    exp_slope: Value = 50e-3,
    exp_threshold: Value = 110.0,
    subthreshold_adaptation_strength: Value = 1.0,
    spike_triggered_adaptation_increment: Value = 1.0,
    tau_adap: Value = 100e-6,
    hw_data: Any = None,
    dt: float = 1e-6,
    leaky: bool = True,
    fire: bool = True,
    refractory: bool = False,
    exponential: bool = False,
    subthreshold_adaptation: bool = False,
    spike_triggered_adaptation: bool = False,
    integration_step_code: Optional[str] = None,
) -> AELIFIntegration:
    """Adaptive exponential integrate-and-fire neurons: `gradspike.functional.aelif` with the capacitance and the leak
    conductance as arguments.

    Args:
        input: Summed graded spikes `[time, batch, neuron]`.
        leak: Leak potential.
        reset: Reset potential.
        threshold: Threshold.
        tau_syn: Synaptic time constant [s].
        c_mem: Membrane capacitance [s].
        g_l: Leak conductance; the membrane time constant is c_mem / g_l.
        refractory_time: Refractory time [s], where `refractory`.
        method: Surrogate derivative.
        alpha: Its steepness.
        exp_slope: Slope of the exponential.
        exp_threshold: Potential around which the exponential sets in.
        subthreshold_adaptation_strength: Adaptation per unit of the membrane above the leak.
        spike_triggered_adaptation_increment: What a spike adds to the adaptation.
        tau_adap: Time constant of the adaptation [s].
        hw_data: What a backend measured, a handle with `spikes`, `voltage` and `adaptation`.
        dt: Time step [s].
        leaky: Whether the membrane leaks.
        fire: Whether there are spikes.
        refractory: Whether there is a refractory time.
        exponential: Whether the exponential drives the membrane.
        subthreshold_adaptation: Whether the membrane drives the adaptation.
        spike_triggered_adaptation: Whether spikes increment the adaptation.
        integration_step_code: Text of a step as `CuBaStepCode` describes it. None, or that of the flags: the fused
            operator; any other text runs step by step in Python.

    Returns:
        AELIFIntegration; the adaptation is 0 without adaptation, the spikes without `fire`.
    """
    code = CuBaStepCode(leaky, fire, refractory, exponential, subthreshold_adaptation, spike_triggered_adaptation)
    seen = measured_of(hw_data, input.shape[0])
    adapts = subthreshold_adaptation or spike_triggered_adaptation
    if integration_step_code is not None and integration_step_code != code.generate():
        parameters = {name: value for name, value in locals().items() if name in _STEP_NAMES}
        starts_at_leak = leaky or subthreshold_adaptation
        traces = _step_by_step(integration_step_code, parameters, seen, method, alpha, starts_at_leak)
        return AELIFIntegration(traces["v"], seen.madc, traces["i"], traces["w"], seen.adaptation_madc, traces["z"])
    result = functional.aelif(
        input,
        leak,
        reset,
        threshold,
        c_mem / g_l,
        tau_syn,
        c_mem,
        refractory_time if refractory else 0.0,
        exp_slope,
        exp_threshold,
        subthreshold_adaptation_strength,
        spike_triggered_adaptation_increment,
        tau_adap,
        dt,
        leaky=leaky,
        fire=fire,
        exponential=exponential,
        subthreshold_adaptation=subthreshold_adaptation,
        spike_triggered_adaptation=spike_triggered_adaptation,
        surrogate=method,
        alpha=alpha,
        outputs="spikes+membrane+current+adaptation",
        measured_spikes=seen.spikes if fire else None,
        measured_membrane=seen.membrane,
        measured_adaptation=seen.adaptation if adapts else None,
    )
    return AELIFIntegration(
        result.membrane, seen.madc, result.current, result.adaptation, seen.adaptation_madc, result.spikes
    )


_STEP_NAMES = frozenset(
    (
        "input",
        "leak",
        "reset",
        "threshold",
        "tau_syn",
        "c_mem",
        "g_l",
        "refractory_time",
        "exp_slope",
        "exp_threshold",
        "subthreshold_adaptation_strength",
        "spike_triggered_adaptation_increment",
        "tau_adap",
        "dt",
    )
)
"""Arguments that the text of a step sees."""


def _step_by_step(
    code: str, parameters: Dict[str, Any], seen: Any, method: str, alpha: float, starts_at_leak: bool
) -> Dict[str, Tensor]:
    """Runs the text of a step for each step of the input: for models that the operators do not know."""
    input: Tensor = parameters["input"]
    compiled = compile(code, "<integration_step_code>", "exec")
    zero = torch.zeros_like(input[0]) if input.shape[0] else input.new_zeros(input.shape[1:])
    state: Dict[str, Any] = {"i": zero, "v": zero + parameters["leak"] if starts_at_leak else zero, "w": zero}
    state.update(z=zero, c=zero)
    recorded: Dict[str, List[Tensor]] = {name: [] for name in ("v", "i", "w", "z")}
    for t in range(input.shape[0]):

        def measured(name: str, value: Tensor, t: int = t) -> Tensor:
            values = getattr(seen, name)
            return value if values is None or t >= values.shape[0] else Unterjubel.apply(value, values[t].to(value))

        names = {**parameters, **state, "t": t, "torch": torch, "measured": measured}
        names["spike"] = lambda x: spike_threshold(x, method, alpha)
        exec(compiled, names)
        state = {name: names[name] for name in state}
        for name, trace in recorded.items():
            trace.append(state[name])
    return {name: torch.stack(trace) if trace else torch.zeros_like(input) for name, trace in recorded.items()}


def cuba_lif_integration(
    input: Tensor,
    *,
    leak: Value,
    reset: Value,
    threshold: Value,
    tau_syn: Value,
    c_mem: Value,
    g_l: Value,
    refractory_time: Value = 0.0,
    method: str = "superspike",
    alpha: float = 50.0,
    hw_data: Any = None,
    dt: float = 1e-6,
) -> Tuple[Tensor, Tensor, Tensor, Any]:
    """LIF neurons, see `gradspike.functional.lif`: `(spikes, membrane, current, membrane of the fast converter)`.

    Arguments are those of `cuba_aelif_integration`.
    """
    seen = measured_of(hw_data, input.shape[0])
    result = functional.lif(
        input,
        leak,
        reset,
        threshold,
        c_mem / g_l,
        tau_syn,
        c_mem,
        refractory_time,
        dt,
        surrogate=method,
        alpha=alpha,
        outputs="spikes+membrane+current",
        measured_spikes=seen.spikes,
        measured_membrane=seen.membrane,
    )
    return result.spikes, result.membrane, result.current, seen.madc


def cuba_li_integration(
    input: Tensor,
    *,
    leak: Value,
    tau_syn: Value,
    c_mem: Value,
    g_l: Value,
    hw_data: Any = None,
    dt: float = 1e-6,
) -> Tuple[Tensor, Tensor, Any]:
    """Leaky integrators, see `gradspike.functional.li`: `(membrane, current, membrane of the fast converter)`.

    Arguments are those of `cuba_aelif_integration`.
    """
    seen = measured_of(hw_data, input.shape[0])
    result = functional.li(
        input, leak, c_mem / g_l, tau_syn, c_mem, dt, outputs="membrane+current", measured_membrane=seen.membrane
    )
    return result.membrane, result.current, seen.madc


def eventprop_synapse(input: Tensor, weight: Tensor) -> Tensor:
    """Both channels of EventProp, `[2, time, batch, out_features]`: the product with the float weight, and zeros."""
    return torch.stack(functional.eventprop_graded_spikes(input, weight, rounding="none"))


def eventprop_neuron(
    input: Tensor,
    *,
    leak: Value,
    reset: Value,
    threshold: Value,
    tau_syn: Value,
    tau_mem: Value,
    dt: float = 1e-6,
    hw_data: Any = None,
) -> Tuple[Tensor, Tensor, Tensor]:
    """LIF neurons with the EventProp adjoint, see `gradspike.functional.eventprop_lif`: `(spikes, membrane, current)`.

    `input` is `[2, time, batch, neuron]`, as `eventprop_synapse` gives it.
    """
    seen = measured_of(hw_data, input.shape[1])
    return tuple(
        functional.eventprop_lif(
            input[0],
            input[1],
            leak,
            reset,
            threshold,
            tau_mem,
            tau_syn,
            dt,
            "spikes+membrane+current",
            seen.spikes,
            seen.membrane,
        )
    )  # type: ignore[return-value]
