"""What a convention and the options make of a normal form: refusals, approximations, what no chip does."""

from typing import List

from gradspike.nir._conventions import Convention
from gradspike.nir._network import Analysis, Unit
from gradspike.nir._options import Choices, Options
from gradspike.nir._problems import Problem

_NO_SYNAPSE = ("LIF", "LI", "IF", "I")


def refusals(analysis: Analysis, used: Convention, choices: Choices) -> List[Problem]:
    """What these options do not import."""
    options = choices.options
    found: List[Problem] = []
    for unit in analysis.units.values():
        if unit.fires and used.reset == "subtract":
            reason = "neurons here, as on the chip, reset to a value; there is no subtraction of the threshold"
            remedy = "reset='value', which is the same in the limit of small steps"
            found.append(Problem(unit.name, unit.type, reason, remedy))
        if unit.type in _NO_SYNAPSE and choices.get("lif", unit.name, unit.metadata, "refuse") == "refuse":
            reason = "it has no synaptic current, neurons here have one"
            remedy = "lif='instant_synapse': a current that lasts one step, so that spikes come one step later"
            found.append(Problem(unit.name, unit.type, reason, remedy))
        if unit.type in ("LI", "CubaLI", "I") and used.spike == "dirac" and _feeds_neurons(analysis, unit):
            reason = "its voltage feeds neurons, and a voltage is no sequence of Dirac pulses"
            found.append(Problem(unit.name, unit.type, reason, "spike='held'"))
    return found + _biases(analysis, options) + _loops(analysis)


def _feeds_neurons(analysis: Analysis, unit: Unit) -> bool:
    return any(p.source == unit.name and analysis.units[p.target].is_population for p in analysis.projections)


def _biases(analysis: Analysis, options: Options) -> List[Problem]:
    found = []
    recurrent = {name for group in analysis.order if group.recurrent for name in group.members}
    for bias in analysis.biases:
        target = analysis.units[bias.target]
        kind = analysis.types[bias.node]
        can_leak = target.type not in ("IF", "I", "Output")
        if options.bias == "refuse":
            shift = "bias='leak' shifts the leak (right in the steady state), " if can_leak else ""
            reason = f"its bias is not zero, up to {abs(bias.value).max():.3g} at '{bias.target}'; synapses have none"
            found.append(Problem(bias.node, kind, reason, f"{shift}bias='add' adds it in simulation"))
        elif options.bias == "leak" and not can_leak:
            reason = f"its bias cannot be a shift of the leak: '{bias.target}' ({target.type}) has none"
            found.append(Problem(bias.node, kind, reason, "bias='add'"))
        elif options.bias == "add" and bias.target in recurrent:
            reason = f"its bias feeds '{bias.target}', which is in a loop, where nothing can be added"
            found.append(Problem(bias.node, kind, reason, "bias='leak'"))
    return found


def _loops(analysis: Analysis) -> List[Problem]:
    found = []
    for group in analysis.order:
        outside = [p for name in group.members for p in analysis.into(name) if p.source not in group.members]
        if group.recurrent and not outside:
            name = group.members[0]
            reason = "nothing from outside reaches its loop"
            found.append(Problem(name, analysis.units[name].type, reason, "connect an input"))
    return found


def approximations(analysis: Analysis, used: Convention, options: Options) -> List[str]:
    """What is not exact, by the argument that switched it on."""
    found = []
    late = [u.name for u in analysis.units.values() if u.type in _NO_SYNAPSE]
    if late:
        found.append(f"lif='instant_synapse': spikes and voltages of {_listed(late)} come one step later")
    if analysis.biases and options.bias == "leak":
        nodes = [b.node for b in analysis.biases if analysis.units[b.target].type != "Threshold"]
        if nodes:
            found.append(f"bias='leak': the bias of {_listed(nodes)} shifts the leak, right in the steady state")
    for field in used.ignored:
        kind, _, name = field.partition(".")
        value = 0.0 if name == "v_leak" else 1.0
        nodes = [u.name for u in analysis.units.values() if u.type == kind and (u.parameters[name] != value).any()]
        if nodes:
            found.append(f"{name} of {_listed(nodes)} is not read, as the preset's framework does")
    if used.reset == "value" and used.refractory_time > 0 and any(u.fires for u in analysis.units.values()):
        found.append(f"a refractory time of {used.refractory_time:g} s, which the graph does not have")
    return found


def not_for_chip(analysis: Analysis, options: Options) -> List[str]:
    """What is simulated and cannot be deployed."""
    found = []
    for unit in analysis.units.values():
        if unit.type == "Threshold" and not _is_first(analysis, unit):
            found.append(f"'{unit.name}' (Threshold) inside the network")
        if unit.type in ("LI", "CubaLI", "I") and _feeds_neurons(analysis, unit):
            found.append(f"the voltage of '{unit.name}' feeds neurons")
        if unit.type in ("IF", "I"):
            found.append(f"'{unit.name}' ({unit.type}) has no leak, the chip's neurons have one")
    for p in analysis.projections:
        if p.delay is not None and analysis.units[p.source].type != "Input":
            found.append(f"the delay behind '{p.source}'")
        if analysis.units[p.target].type == "Output" and p.weight is not None:
            found.append(f"the weight '{p.name}' ends at the output '{p.target}', without neurons")
    if options.bias == "add":
        found += [f"the bias of '{b.node}' is added in every step" for b in analysis.biases]
    return found


def _is_first(analysis: Analysis, unit: Unit) -> bool:
    return all(analysis.units[p.source].type == "Input" for p in analysis.into(unit.name))


def _listed(names: List[str]) -> str:
    unique = sorted(set(names))
    return ", ".join(f"'{name}'" for name in unique[:5]) + (f" and {len(unique) - 5} more" if len(unique) > 5 else "")
