"""Recording of inner layers."""

from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Type

import torch
from torch import Tensor

from gradspike.nn.aelif import AELIF
from gradspike.nn.eventprop import EventPropLIF, ExactEventPropLIF
from gradspike.nn.neurons import LIF
from gradspike.nn.recurrent import RecurrentLIF
from gradspike.nn.synapse_lif import SynapseLIF

_FIRING = (AELIF, EventPropLIF, ExactEventPropLIF, LIF, RecurrentLIF, SynapseLIF)
"""Modules whose `forward` gives spikes."""


class Recorder:
    """Records the spikes of the inner layers of a model that fire: every neuron module but `LI`.

    Called, it runs the model with empty records; as a context manager it records every call inside. Names are those
    of the populations, or else the path of the module. Several calls of one layer, as when a run is streamed in
    chunks, are joined along time. The records are part of the graph: regularisers on spike counts can train.

    Args:
        model: A module with such layers, not a scripted one.

    Attributes:
        spikes: Dictionary from name to spikes `[time, batch, neuron]`.

    Raises:
        ValueError: the model has no such layer that hooks can see, two carry the same name, or one gives packed spikes.

    Example:
        >>> recorder = Recorder(torch.nn.Sequential(Synapse(2, 4), LIF(4, name="hidden"), Synapse(4, 3), LI(3)))
        >>> output = recorder(torch.zeros(5, 1, 2))
        >>> recorder.spikes["hidden"].shape
        torch.Size([5, 1, 4])
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self._records: Dict[str, List[Tensor]] = {}
        self._hooks: List[torch.utils.hooks.RemovableHandle] = []
        self._layers = _lif_layers(model)

    @property
    def spikes(self) -> Dict[str, Tensor]:
        return {
            name: records[0] if len(records) == 1 else torch.cat(records) for name, records in self._records.items()
        }

    def __enter__(self) -> "Recorder":
        self._records = {}
        self._hooks = [layer.register_forward_hook(self._hook(name)) for name, layer in self._layers.items()]
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self:
            return self.model(*args, **kwargs)

    def _hook(self, name: str) -> Callable[[torch.nn.Module, Any, Tensor], None]:
        def record(module: torch.nn.Module, inputs: Any, output: Tensor) -> None:
            self._records.setdefault(name, []).append(output)

        return record


def _lif_layers(model: torch.nn.Module) -> Dict[str, torch.nn.Module]:
    layers: Dict[str, torch.nn.Module] = {}
    for path, module in model.named_modules():
        if not isinstance(module, _FIRING) or (isinstance(module, AELIF) and not module.fire):
            continue
        name = module.population or path
        if isinstance(module, SynapseLIF):
            name = module.population or module.projection or path
            if module.spike_format == "packed":
                raise ValueError(f"Recorder: spikes of layer {name!r} must not be packed, got spike_format 'packed'")
        if name in layers:
            raise ValueError(f"Recorder: model must have one LIF layer per name, got two of the name {name!r}")
        layers[name] = module
    if not layers:
        raise ValueError(f"Recorder: model must have LIF layers in eager form, got none in {type(model).__name__}")
    return layers
