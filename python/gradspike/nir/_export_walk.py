"""The walk over a traced model: which nodes of NIR its layers and operations are."""

import operator
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import fx

from gradspike import nn
from gradspike.nir._export_layers import LayerExport, as_array, is_plain, scale_of
from gradspike.nir._modules import Bias, Delay, Threshold
from gradspike.nir._problems import Problem
from gradspike.nir._signals import Signal, Sketch, Spec, Term, added, concatenated, picked_columns

_PASSED = (torch.nn.Identity, torch.nn.Dropout)


class Walk:
    """Goes through the nodes of a traced graph and sketches those of NIR."""

    def __init__(
        self, root: torch.nn.Module, graph: fx.Graph, export: LayerExport, sizes: List[int], meta: Mapping[str, Any]
    ) -> None:
        self.root, self.graph, self.export, self.meta = root, graph, export, meta
        self.example_sizes = sizes or list(meta.get("input_sizes", ()))
        self.sketch = Sketch()
        self.values: Dict[fx.Node, Optional[Signal]] = {}
        self.problems: List[Problem] = []
        self.inputs: List[str] = []
        self.outputs: List[str] = []
        self.scales: Dict[str, float] = {}

    def run(self) -> None:
        for node in self.graph.nodes:
            handler: Callable[[fx.Node], Optional[Signal]] = getattr(self, f"_{node.op}")
            self.values[node] = handler(node)

    def refuse(self, where: str, kind: str, reason: str, remedy: str) -> None:
        self.problems.append(Problem(where, kind, reason, remedy))

    def add(self, wanted: str, spec: Spec, size: int, reserved: bool = False) -> Signal:
        name = wanted if reserved else self.sketch.reserve(wanted)
        self.sketch.add(name, spec)
        return Signal((Term(name, size),), size)

    def signal(self, node: Any) -> Optional[Signal]:
        return self.values.get(node) if isinstance(node, fx.Node) else None

    # ---- ends ------------------------------------------------------------------------------------------------------

    def _placeholder(self, node: fx.Node) -> Optional[Signal]:
        if not node.users:
            return None  # an argument that is not used, such as a state
        place = len(self.inputs)
        names: Sequence[str] = self.meta.get("inputs", ())
        name = self.sketch.reserve(names[place] if place < len(names) else str(node.target))
        self.inputs.append(name)
        size = self.example_sizes[place] if place < len(self.example_sizes) else size_wanted(node, self.root)
        if size is None:
            self.refuse(str(node.target), "input", "its size does not follow from the layers", "give example=...")
            return None
        return self.add(name, Spec("Input", {"shape": np.array([size])}), size, reserved=True)

    def _output(self, node: fx.Node) -> None:
        results = node.args[0]
        entries = list(results.values()) if isinstance(results, dict) else results
        listed: Sequence[Any] = entries if isinstance(entries, (tuple, list)) else [entries]
        names: Sequence[str] = self.meta.get("outputs", ())
        if isinstance(results, dict):
            names = [str(key) for key in results]
        for place, entry in enumerate(listed):
            signal = self.signal(entry)
            if signal is None:
                continue  # refused where it was made
            default = "output" if len(listed) == 1 else f"output{place}"
            name = self.sketch.reserve(names[place] if place < len(names) else default)
            self.outputs.append(name)
            self.add(name, Spec("Output", {"shape": np.array([signal.size])}), signal.size, reserved=True)
            self.sketch.connect(signal, name)

    def _get_attr(self, node: fx.Node) -> None:
        self.refuse(str(node.target), "tensor", "a tensor of the model is used outside a layer", "put it into a layer")

    # ---- operations ------------------------------------------------------------------------------------------------

    def _call_method(self, node: fx.Node) -> Optional[Signal]:
        return self._operation(node, str(node.target))

    def _call_function(self, node: fx.Node) -> Optional[Signal]:
        return self._operation(node, getattr(node.target, "__name__", str(node.target)))

    def _operation(self, node: fx.Node, name: str) -> Optional[Signal]:
        if any(isinstance(a, fx.Node) and self.values.get(a) is None for a in node.all_input_nodes):
            return None  # refused before
        first = self.signal(node.args[0]) if node.args else None
        if name in ("add", "iadd", "add_", "__add__") and len(node.args) == 2 and not node.kwargs:
            second = self.signal(node.args[1])
            if first is not None and second is not None and first.size == second.size:
                return added(first, second)
        if name in ("cat", "concat", "concatenate"):
            found = self._concatenated(node)
            if found is not None:
                return found
        if node.target is operator.getitem and first is not None:
            index = picked_by(node.args[1], first.size)
            if index is not None:
                return first.picked(index)
        if name in ("dropout", "contiguous", "clone", "detach", "float") and first is not None:
            return first
        reason = "the operation has no counterpart"
        self.refuse(node.name, name, reason, "export the part of the model before it, as a module of its own")
        return None

    def _concatenated(self, node: fx.Node) -> Optional[Signal]:
        dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        parts = node.args[0] if node.args else node.kwargs.get("tensors")
        signals = [self.signal(part) for part in parts] if isinstance(parts, (list, tuple)) else []
        known = [signal for signal in signals if signal is not None]
        return concatenated(known) if dim in (-1, 2) and len(known) == len(signals) > 0 else None

    # ---- layers ----------------------------------------------------------------------------------------------------

    def _call_module(self, node: fx.Node) -> Optional[Signal]:
        path = str(node.target)
        layer = self.root.get_submodule(path)
        signal = self.signal(node.args[0]) if node.args else None
        if signal is None:
            if not self.problems:
                self.refuse(path, type(layer).__name__, "its input is no signal of the model", "call it with one")
            return None
        if isinstance(layer, _PASSED) or (isinstance(layer, torch.nn.Flatten) and layer.start_dim >= 2):
            return signal
        if isinstance(layer, nn.SynapseLIF):
            weighted = self._weighted(
                layer.projection or f"{path}_weight", self.export.synapse(layer), signal, scale_of(layer)
            )
            return self._neurons(layer, layer.population or path, path, weighted)
        if isinstance(layer, (nn.Synapse, nn.SparseSynapse)) and not isinstance(layer, nn.EventPropSynapse):
            if path in self.meta.get("identities", ()):
                return signal
            return self._weighted(layer.projection or path, self.export.synapse(layer), signal, scale_of(layer))
        if isinstance(layer, nn.RecurrentLIF):
            return self._recurrent(layer, path, signal)
        if isinstance(layer, (nn.LIF, nn.LI)) or (isinstance(layer, nn.AELIF) and is_plain(layer)):
            return self._neurons(layer, layer.population or path, path, signal)
        return self._other(layer, path, signal)

    def _other(self, layer: torch.nn.Module, path: str, signal: Signal) -> Optional[Signal]:
        if isinstance(layer, torch.nn.Linear):
            fields = {"weight": as_array(layer.weight.float())}
            if layer.bias is not None:
                fields["bias"] = as_array(layer.bias.float())
            return self._weighted(path, Spec("Linear" if layer.bias is None else "Affine", fields), signal)
        if isinstance(layer, Bias):
            return Signal(signal.terms, signal.size, as_array(layer.bias))
        if isinstance(layer, Threshold):
            threshold = np.broadcast_to(as_array(layer.threshold.double()), (signal.size,))
            return self._element(path, Spec("Threshold", {"threshold": np.array(threshold)}), signal)
        if isinstance(layer, Delay):
            seconds = np.broadcast_to(as_array(layer.steps.double()) * (self.export.used.dt or 1.0), (signal.size,))
            unit = self.export.used.times.unit
            return self._element(path, Spec("Delay", {"delay": np.array(seconds) / unit}), signal)
        remedies = {
            "AELIF": "leaky and fire alone, or a LIF",
            "EventPropLIF": "its forward scheme is another one: train ExactEventPropLIF, export LIF",
            "PrepackedSynapse": "the Synapse it was made from",
        }
        kind = type(layer).__name__
        self.refuse(path, kind, "the layer has no counterpart", remedies.get(kind, "layers of gradspike.nn"))
        return None

    def _element(self, path: str, spec: Spec, signal: Signal) -> Signal:
        """A node that works element by element."""
        result = self.add(path, spec, signal.size)
        self.sketch.connect(signal, result.terms[0].node)
        return result

    def _weighted(self, name: str, spec: Spec, signal: Signal, scale: Optional[float] = None) -> Signal:
        """One node per source of the sum; a choice of elements goes into the columns of the weight."""
        weight = spec.fields["weight"]
        terms: List[Term] = []
        for k, term in enumerate(signal.terms):
            columns = weight if term.index is None else picked_columns(weight, term.index, term.size)
            metadata = dict(spec.metadata)
            if "mask" in metadata and term.index is not None:
                metadata["mask"] = picked_columns(metadata["mask"], term.index, term.size)
            fields = {**spec.fields, "weight": columns}
            kind = spec.type
            if k > 0 and kind == "Affine":  # the bias is added once
                kind, fields = "Linear", {"weight": columns}
            part = self.add(name if k == 0 else f"{name}_{k}", Spec(kind, fields, metadata), weight.shape[0])
            if scale is not None:
                self.scales[part.terms[0].node] = scale
            self.sketch.connect(Signal((Term(term.node, term.size),), columns.shape[1]), part.terms[0].node)
            terms += part.terms
        if signal.bias is not None:
            bias = weight @ signal.bias
            return Signal(tuple(terms), weight.shape[0], bias)
        return Signal(tuple(terms), weight.shape[0])

    def _hint(self, path: str, place: int = 0) -> Mapping[str, Any]:
        entries: Sequence[Mapping[str, Any]] = self.meta.get("units", {}).get(path, ())
        return entries[place] if place < len(entries) else {}

    def _neurons(self, layer: Any, name: str, path: str, signal: Signal) -> Signal:
        per_lsb = self._per_lsb(signal, name)
        spec = self.export.neurons(layer, name, self._hint(path), per_lsb=per_lsb)
        result = self.add(name, spec, layer.size)
        self.sketch.connect(signal, result.terms[0].node)
        return result

    def _per_lsb(self, signal: Signal, name: str) -> float:
        """1 / scale of what arrives, where weights are exported as integers."""
        if self.export.weights != "integers":
            return 1.0
        scales = {self.scales[t.node] for t in signal.terms if t.node in self.scales}
        if len(scales) > 1:
            reason = f"its weights have the scales {', '.join(f'{s:g}' for s in sorted(scales))}"
            self.refuse(name, "neurons", reason, "one scale, or weights='quantised'")
        return 1.0 / next(iter(scales)) if scales else 1.0

    def _recurrent(self, layer: nn.RecurrentLIF, path: str, signal: Signal) -> Signal:
        from gradspike.nir._export_cycle import recurrent_nodes

        return recurrent_nodes(self, layer, path, signal)


def picked_by(index: Any, size: int) -> Optional[np.ndarray]:
    """Elements that an index of the last axis picks; None where it is another index."""
    entries = index if isinstance(index, tuple) else (index,)
    whole = slice(None)
    if len(entries) == 2 and entries[0] is Ellipsis:
        last = entries[1]
    elif len(entries) == 3 and entries[0] == whole and entries[1] == whole:
        last = entries[2]
    else:
        return None
    if isinstance(last, (slice, list)):
        chosen: np.ndarray = np.arange(size)[last]
        return chosen
    return None


def size_wanted(node: fx.Node, root: torch.nn.Module) -> Optional[int]:
    """The size of a signal, from the layers that take it; None where none says."""
    for user in node.users:
        size: Optional[int] = None
        if user.op == "call_module":
            layer: Any = root.get_submodule(str(user.target))
            size = getattr(layer, "in_features", None) or getattr(layer, "size", None)
            if size is None and isinstance(layer, (Bias, Threshold, Delay, *_PASSED)):
                size = size_wanted(user, root)
        elif user.op == "call_function" and user.target in (operator.add, torch.add):
            size = size_wanted(user, root)
        if size is not None:
            return int(size)
    return None


def names_of(layer: nn.RecurrentLIF, path: str) -> Tuple[str, str, str]:
    """Names of the population and its two projections."""
    keys = layer.keys_of(layer.population or path)
    return (
        layer.population or path,
        layer.projection or keys["projection"],
        layer.recurrent_projection or keys["recurrent_projection"],
    )
