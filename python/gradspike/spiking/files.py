"""From an experiment to a module, a file, a report and a mapping."""

from typing import Any, Dict, Optional, Tuple

import torch
from torch import Tensor

import gradspike
from gradspike import _reading, chip
from gradspike.spiking._module import Equivalent, equivalent
from gradspike.spiking._wishes import wishes_of
from gradspike.spiking.backend.module_manager import external_inputs


def to_module(experiment: Any, model: Optional[torch.nn.Module] = None) -> torch.fx.GraphModule:
    """The network of an experiment as a plain module of `gradspike.nn` layers, tensors in and out.

    Call the modules of the network before, with or without `run`: the graph is that of the last calls. Parameters are
    shared with the experiment. The result can be scripted, exported, saved, read and deployed; it returns the spikes or
    membranes of the handles that no module reads, in the order of the calls.

    Args:
        experiment: The experiment.
        model: A module that holds the modules of the experiment: what has no name takes its path there.

    Raises:
        ValueError: no module was called.
        NotImplementedError: a module has no counterpart in `gradspike.nn`, or overrides `forward_func`.

    Note:
        A projection whose transform is not `linear_saturating` holds what the transform makes: the module computes with
        its integers, and `module.meta["integers_only"]` names it. With `weight_scale` this holds also for a projection
        that overrides `forward_func`.

    Example:
        >>> import gradspike.spiking as hxsnn
        >>> experiment = hxsnn.Experiment(mock=True)
        >>> synapse, neurons = hxsnn.Synapse(5, 3, experiment), hxsnn.LI(3, experiment, leak=0.0)
        >>> handle = neurons(synapse(hxsnn.LIFObservables(spikes=torch.ones(9, 2, 5))))
        >>> hxsnn.run(experiment, 9)
        >>> torch.equal(to_module(experiment)(torch.ones(9, 2, 5)), handle.membrane_cadc)
        True
    """
    return _plain(experiment, model).module


def _plain(experiment: Any, model: Optional[torch.nn.Module]) -> Equivalent:
    calls = experiment.modules.last_calls
    if not calls:
        raise ValueError(f"{experiment.name}: no module was called yet, call the network once before it is converted")
    paths = {} if model is None else {module: path for path, module in model.named_modules() if path}
    result = equivalent(experiment, calls, on_chip=False, paths=paths)
    result.module.meta["integers_only"] = result.integers_only
    options: Dict[str, Any] = {"projections": wishes_of(result.names)} if wishes_of(result.names) else {}
    if result.integers_only:
        options["card"] = {"encoder": _note(result)}
    if options:
        _reading.remember(result.module, options)
    return result


def _note(plain: Equivalent) -> str:
    return "integers only: " + ", ".join(plain.integers_only)


def as_model(experiment: Any) -> Tuple[torch.fx.GraphModule, Any]:
    """The module of an experiment, which remembers its wishes, and the inputs of the last calls."""
    return _plain(experiment, None).module, _example(experiment)


def _example(experiment: Any) -> Any:
    """The inputs of the last calls."""
    handles = external_inputs(experiment.modules.last_calls)
    tensors = tuple(handle.spikes for handle in handles if isinstance(getattr(handle, "spikes", None), Tensor))
    return tensors if len(tensors) == len(handles) else None


def save(
    experiment: Any,
    path: Any = None,
    *,
    network: Any = None,
    name: Optional[str] = None,
    model: Optional[torch.nn.Module] = None,
    card: Optional[Dict[str, Any]] = None,
) -> chip.Network:
    """Writes the network of an experiment, see `gradspike.save`; wishes and plasticity rules of the modules go along.

    The encoder and decoder of the card say which projections hold integers only, see `to_module`.
    """
    plain = _plain(experiment, model)
    if card is not None and plain.integers_only:
        card = {**card, "encoder": f"{card['encoder']}; {_note(plain)}" if card.get("encoder") else _note(plain)}
    example = _example(experiment)
    return gradspike.save(plain.module, path, network=network, name=name, example=example, card=card)


def read(experiment: Any, network: Optional[str] = None, *, model: Optional[torch.nn.Module] = None) -> chip.Network:
    """Reads the network of an experiment, see `gradspike.chip.read`."""
    return chip.read(_plain(experiment, model).module, _example(experiment), network or experiment.name)


def export(experiment: Any, path: Any, *, model: Optional[torch.nn.Module] = None, **options: Any) -> chip.Network:
    """Writes the network of an experiment as a program of `torch.export`, see `gradspike.export`."""
    return gradspike.export(_plain(experiment, model).module, path, example=_example(experiment), **options)


def check(experiment: Any, *, chips: int = 1, target: str = "emulator ideal") -> chip.Report:
    """Whether the network of an experiment fits, see `gradspike.chip.check`."""
    return read(experiment).check(target, chips)


def map(experiment: Any) -> chip.Mapping:
    """Placement and routing of the network of an experiment, see `gradspike.chip.map`."""
    return read(experiment).map()
