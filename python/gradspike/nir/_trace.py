"""A model as a graph of layers, traced without running it."""

from typing import Any, Tuple

import torch
from torch import fx

from gradspike import _reading, nn
from gradspike.nir._modules import Bias, Delay, Threshold
from gradspike.nir._problems import NIRExportError

LEAVES = (
    nn.AELIF, nn.EventPropLIF, nn.EventPropSynapse, nn.ExactEventPropLIF, nn.LI, nn.LIF, nn.PrepackedSynapse,
    nn.RecurrentLIF, nn.SparseSynapse, nn.Synapse, nn.SynapseLIF, Bias, Delay, Threshold,
)  # fmt: skip


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LEAVES) or super().is_leaf_module(m, module_qualified_name)


def traced(model: Any) -> Tuple[torch.nn.Module, fx.Graph]:
    """The module whose layers the graph names, and the graph.

    Raises:
        NIRExportError: the model cannot be traced: its code depends on numbers, or it is scripted.
        TypeError: it is no module.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"to_nir: model must be a torch.nn.Module, got {type(model).__name__}")
    module = _reading.unwrapped(model)
    if isinstance(module, torch.jit.ScriptModule):
        raise NIRExportError("to_nir: a scripted model has no layers to look at: give the module it was made from")
    if isinstance(module, LEAVES):
        name = getattr(module, "population", "") or getattr(module, "projection", "") or type(module).__name__.lower()
        holder = torch.nn.Sequential()
        holder.add_module(name.replace(".", "_"), module)
        module = holder
    try:
        return module, _Tracer().trace(module)
    except Exception as error:  # whatever the code of the model raises when it meets a stand-in for a tensor
        raise NIRExportError(
            f"to_nir: {type(module).__name__} cannot be traced: {_reading.sentence(error) or type(error).__name__}"
        ) from None
