"""A node map for nirtorch: modules that take one time step per call."""

from typing import Any, Callable, Dict, Optional, Tuple

import torch
from torch import Tensor

from gradspike import nn
from gradspike.nir._import import from_nir
from gradspike.nir._problems import NIRImportError, Problem
from gradspike.nir._require import require
from gradspike.nir._units import NEURONS


class Step(torch.nn.Module):
    """Neurons that take one time step per call: `(x [batch, size], state) -> (output [batch, size], state)`.

    Args:
        layer: A `LIF` or `LI`.

    Example:
        >>> from gradspike.nn import LI
        >>> step = Step(LI(3))
        >>> output, state = step(torch.ones(1, 3))
        >>> step(torch.zeros(1, 3), state)[0]
        tensor([[0.1000, 0.1000, 0.1000]])
    """

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, state: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
        result: Tuple[Tensor, Tensor] = self.layer.step(x, state)  # type: ignore[operator]
        return result


def hx_node_map(**options: Any) -> Dict[Any, Callable[[Any], torch.nn.Module]]:
    """Functions from nodes to modules, by type: the `node_map` of `nirtorch.nir_to_torch`; nirtorch is not needed.

    Neurons take one step per call and hand their state on; `from_nir` runs all steps in one call and is faster.
    nirtorch adds what arrives at a node, and delays loops by a step.

    Args:
        options: Those of `from_nir` but `inputs` and `outputs`; `dt` and `time_unit`, or `preset`, are needed.

    Returns:
        A dictionary with Linear, Affine, Scale, Threshold, CubaLIF, CubaLI, LIF, LI, IF, I, Input and Output of `nir`.
        A function raises NIRImportError for a node that `from_nir` would refuse, or whose gain is not above 0.

    Raises:
        ImportError: the package nir is missing.

    Example:
        >>> import nir, numpy
        >>> node_map = hx_node_map(dt=1e-3, time_unit="s")
        >>> node_map[nir.Linear](nir.Linear(numpy.eye(2, 3)))(torch.ones(1, 3)).tolist()
        [[1.0, 1.0]]
    """
    nir = require("nir", "hx_node_map")

    def mapped(node: Any) -> torch.nn.Module:
        name = type(node).__name__.lower()
        graph = nir.NIRGraph(nodes={name: node}, edges=[])
        module, report = from_nir(graph, **options)
        if type(node).__name__ not in NEURONS:
            return module
        signs = [layer for key, layer in module.named_children() if isinstance(layer, nn.SparseSynapse)]
        if any(bool((layer.weight != 1).any()) for layer in signs):
            problem = Problem(
                name, type(node).__name__, "its gain r * w_in is not above 0", "negate the weights instead"
            )
            raise NIRImportError("hx_node_map: 1 node cannot be imported as it is:", [problem])
        return Step(module.get_submodule(report.module_of(name)))

    def passed(node: Any) -> torch.nn.Module:
        return torch.nn.Identity()

    kinds = ("Linear", "Affine", "Scale", "Threshold", *NEURONS)
    result: Dict[Any, Callable[[Any], torch.nn.Module]] = {getattr(nir, kind): mapped for kind in kinds}
    return {**result, nir.Input: passed, nir.Output: passed}
