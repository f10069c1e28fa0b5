"""Recurrent networks as one operator."""

from typing import Any, Iterator, List, NamedTuple, Tuple

import torch
from torch import Tensor

from gradspike import functional
from gradspike.spiking import _readout
from gradspike.spiking.handle import LIFObservables, SynapseHandle


class RecurrentPattern(NamedTuple):
    """A population with projections into it, one of them from itself.

    Attributes:
        inputs: Projections that the rest of the network feeds.
        recurrent: The projection of the population onto itself.
        population: The neurons.
    """

    inputs: List[Any]
    recurrent: Any
    population: Any


def recurrent_pattern(wrapper: Any) -> RecurrentPattern:
    """The pattern that the modules of a wrapper form.

    Raises:
        NotImplementedError: they form another one, which needs a `forward_func` of its own.
    """
    from gradspike.spiking.modules.neuron import LIF
    from gradspike.spiking.modules.synapse import Synapse

    modules = list(wrapper.wrapped.values())
    populations = [module for module in modules if isinstance(module, LIF)]
    synapses = [module for module in modules if isinstance(module, Synapse)]
    others = [f"{name} {reason}" for name, reason in _reasons(wrapper) if reason]
    if not others and len(populations) == 1 and len(synapses) == len(modules) - 1:
        graph = wrapper.experiment.modules
        recurrent = [synapse for synapse in synapses if populations[0] in graph.sources_of(synapse)]
        inputs = [synapse for synapse in synapses if synapse not in recurrent]
        if len(recurrent) == 1 and inputs:
            return RecurrentPattern(inputs, recurrent[0], populations[0])
    raise NotImplementedError(
        f"{type(wrapper).__name__}: without a forward_func of its own, a wrapper holds projections into one population "
        "of LIF neurons and one projection of that population onto itself, got "
        + ", ".join(f"{name}={type(module).__name__}" for name, module in wrapper.wrapped.items())
        + "".join(f"; {other}" for other in others)
    )


def _reasons(wrapper: Any) -> Iterator[Tuple[str, str]]:
    """Modules by name, with what makes them something else than the operator computes; "" where nothing does."""
    from gradspike.spiking.modules.event_prop_synapse import EventPropSynapse
    from gradspike.spiking.modules.neuron import LIF, EventPropLIF
    from gradspike.spiking.modules.neuron_exp import NeuronExp

    for name, module in wrapper.wrapped.items():
        reason = ""
        if isinstance(module, (EventPropLIF, EventPropSynapse)):
            reason = "has the adjoint of EventProp"
        elif isinstance(module, NeuronExp):
            reason = "has exponential decays"
        elif overrides_forward_func(module):
            reason = "overrides forward_func"
        elif isinstance(module, LIF) and not (module.leaky and module.fire):
            reason = f"has leaky={module.leaky}, fire={module.fire}"
        yield name, reason


def overrides_forward_func(module: Any) -> bool:
    """Whether the user's code, and not the library's, says what a module computes."""
    own = "forward_func" in vars(module)
    return own or not str(getattr(type(module).forward_func, "__module__", "")).startswith("gradspike.spiking.")


def run_recurrent(wrapper: Any, inputs: Tuple[Any, ...], hw_data: Any) -> Tuple[Any, ...]:
    """The handles of the modules, in order; those of projections stay empty: their sums never leave the operator."""
    pattern = recurrent_pattern(wrapper)
    neurons = pattern.population
    if len(inputs) != len(pattern.inputs):
        raise ValueError(
            f"{neurons._describe()}: each of its {len(pattern.inputs)} input projections takes one handle, got "
            f"{len(inputs)}"
        )
    place = [module is neurons for module in wrapper.wrapped.values()].index(True)
    spikes = [synapse._spikes_of(handle) for synapse, handle in zip(pattern.inputs, inputs)]
    measured = _readout.measured(None if hw_data is None else hw_data[place], spikes[0].shape[0])
    weight, scale, low, high, rounding = joined_arithmetic(pattern.inputs)
    own = pattern.recurrent.arithmetic()
    if own[4] != rounding:
        raise ValueError(f"{neurons._describe()}: hardware_weights must be the same in all of its projections")
    result = functional.recurrent_lif(
        torch.cat(spikes, dim=-1) if len(spikes) > 1 else spikes[0],
        weight,
        own[0],
        **{name: neurons._argument(name) for name in neurons._computed_names()},
        recurrent_mask=getattr(pattern.recurrent, "mask", None),
        input_scale=scale,
        input_min_weight=low,
        input_max_weight=high,
        recurrent_scale=own[1],
        recurrent_min_weight=own[2],
        recurrent_max_weight=own[3],
        rounding=rounding,
        dt=neurons.experiment.dt,
        surrogate=neurons.method,
        alpha=neurons._alpha(),
        outputs="spikes+membrane+current",
        measured_spikes=measured.spikes,
        measured_membrane=measured.membrane,
    )
    observables = LIFObservables(
        current=result.current, spikes=result.spikes, membrane_cadc=result.membrane, membrane_madc=measured.madc
    )
    return tuple(observables if module is neurons else SynapseHandle() for module in wrapper.wrapped.values())


def joined_arithmetic(synapses: List[Any]) -> Tuple[Tensor, float, float, float, str]:
    """Several projections into one population as one, over the concatenation of their inputs.

    Raises:
        ValueError: scale, bounds or rounding differ.
    """
    parts = [synapse.arithmetic() for synapse in synapses]
    if any(part[1:] != parts[0][1:] for part in parts):
        raise ValueError(
            "the input projections of a recurrent population must have the same scale, bounds and rounding, got "
            + ", ".join(str(part[1:]) for part in parts)
        )
    weight = parts[0][0] if len(parts) == 1 else torch.cat([part[0] for part in parts], dim=1)
    return (weight, *parts[0][1:])
