"""The model with the float product in the place of the integer one: what rounding and clipping change."""

import warnings
from typing import Any

import torch

from gradspike import _reading
from gradspike.chip._network import Network
from gradspike.chip._verbs import Example, Model, read

SUFFIX = " with float weights"


def read_with_float_weights(model: Model, name: str, example: Example = None) -> Network:
    """Reads the model once more, every projection with `rounding="none"`: its weights as they are, without bounds.

    Args:
        model: As for `gradspike.chip.read`; a `Network` of a network file has integers alone and is refused.
        name: Name of the network; the one that is read here has it with a suffix, and leaves the other one as it is.
        example: As for `gradspike.chip.read`.

    Returns:
        The network, to be run on the CPU; its entries in the registry are those of its own name.

    Raises:
        ValueError: the model is a `Network`, which does not hold the code of the model.
        RuntimeError: the model cannot be scripted, traced or read.
    """
    if isinstance(model, Network):
        raise ValueError("the code of the model is not at hand: give the model, or an archive, in place of a network")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.jit")
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=DeprecationWarning)
        scripted = _reading.scripted(model, example).eval()
        # One graph of its own: the nodes of a shared one would change the model too.
        frozen: Any = torch.jit.freeze(scripted, optimize_numerics=False)
        _drop_rounding(frozen.graph)
        return read(frozen, example, name + SUFFIX)


def _drop_rounding(graph: Any) -> None:
    for kind in ("graded_spikes", "eventprop_graded_spikes", "sparse_graded_spikes", "synapse_lif", "recurrent_lif"):
        names = [argument.name for argument in getattr(torch.ops.gradspike, kind).default._schema.arguments]
        for node in graph.findAllNodes(f"gradspike::{kind}"):
            constant = graph.insertConstant("none")
            constant.node().moveBefore(node)
            node.replaceInput(names.index("rounding"), constant)
