"""NIR data: spikes and traces by node, as events or on a grid, to and from time-major tensors."""

import warnings
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from gradspike.nir._problems import NIRWarning, counted
from gradspike.nir._require import require
from gradspike.nir._units import TIME_UNITS, Times

_SPIKES = "spikes"


def from_nir_data(
    data: Any, *, dt: float, time_unit: str = "s", observable: str = _SPIKES, steps: Optional[int] = None,
    binary: bool = False, dtype: Optional[torch.dtype] = None, device: Any = None,
) -> Dict[str, Tensor]:  # fmt: skip
    """Observables of NIR data as tensors `[time, batch, neuron]`, by name of the node.

    Events at time t are spikes of step `rint(t / dt)`. Several of one neuron in one step are a count, so that none is
    lost; what cannot be kept is counted in a warning.

    Args:
        data: `nir.NIRGraphData`, as `nir.read_data` gives it; nodes of nested data are named "G.name".
        dt: Time step of the result [s].
        time_unit: What times in the data are counted in: "s", "ms", "us" or "steps".
        observable: Which one: "spikes", or another name such as "voltages", which must be on a grid of dt.
        steps: Time steps of the result. Default: `rint(t_max / dt)`, and one more where the last events round to it.
        binary: Whether several events in one step are one spike; those that are lost are counted in the warning.
        dtype: Of the result; default torch.float32.
        device: Of the result.

    Returns:
        Tensors by name; `module(*(tensors[name] for name in report.inputs))` runs an imported module.

    Raises:
        ValueError: an argument, a neuron's index, a shape or the grid of a trace is out of its range; the sentence
            names the node.
        NIRWarning: (a warning) the number of spikes that are lost: beyond steps, of no time, or of a step that has one.

    Example:
        >>> import nir, numpy
        >>> events = nir.EventData(numpy.array([[0, 1]]), numpy.array([[0.1, 0.3]]), n_neurons=2, t_max=0.4)
        >>> data = nir.NIRGraphData({"input": nir.NIRNodeData({"spikes": events})})
        >>> from_nir_data(data, dt=0.1)["input"].nonzero().tolist()
        [[1, 0, 0], [3, 0, 1]]
    """
    times = _times("from_nir_data", dt, time_unit)
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 0):
        raise ValueError(f"from_nir_data: steps must be a whole number of at least 0, got {steps!r}")
    found = dict(_observables(data, observable, ""))
    if not found:
        raise ValueError(f"from_nir_data: no node has the observable {observable!r}")
    grids = {name: _Grid(f"node {name!r}", entry, times, observable == _SPIKES) for name, entry in found.items()}
    length = steps if steps is not None else max(grid.steps for grid in grids.values())
    result, lost = {}, {}
    for name, grid in grids.items():
        array, missing = grid.dense(length, binary and observable == _SPIKES)
        result[name] = torch.from_numpy(array).to(dtype or torch.float32).to(device)
        if missing:
            lost[name] = missing
    _warn_lost("from_nir_data", lost)
    return result


def to_nir_data(
    tensors: Mapping[str, Union[Tensor, Mapping[str, Tensor]]], *, dt: float, time_unit: str = "s", events: bool = False
) -> Any:
    """Tensors `[time, batch, neuron]` by name of the node as NIR data.

    Args:
        tensors: Spikes by name, whole numbers of at least 0; or a dictionary of observables by name, of which all but
            "spikes" are traces.
        dt: Time step [s].
        time_unit: What times in the data are to be counted in: "s", "ms", "us" or "steps".
        events: Spikes as events, where a count of k is k events. Else on a grid of truth values, where a count is one
            spike; those that are lost are counted in a warning.

    Returns:
        nir.NIRGraphData, for `nir.write_data`.

    Raises:
        ValueError: a tensor is of another shape or is no spikes; the sentence names the node.
        ImportError: the package nir is missing, or older than NIR data.
        NIRWarning: (a warning) the number of spikes that are lost.

    Example:
        >>> data = to_nir_data({"hidden": torch.tensor([[[0.0, 2.0]], [[1.0, 0.0]]])}, dt=1e-6, events=True)
        >>> data.nodes["hidden"].observables["spikes"].idx.tolist()
        [[1, 1, 0]]
    """
    nir = require("nir", "to_nir_data")
    if not hasattr(nir, "NIRGraphData"):
        raise ImportError(f"to_nir_data: nir {nir.__version__} has no NIR data: pip install 'nir>=1.0.8'")
    times = _times("to_nir_data", dt, time_unit)
    step = dt / times.unit
    nodes, lost = {}, {}
    for name, entry in tensors.items():
        observables = entry if isinstance(entry, Mapping) else {_SPIKES: entry}
        made = {}
        for observable, tensor in observables.items():
            array = _array(f"to_nir_data: {observable} of node {name!r}", tensor)
            if observable != _SPIKES:
                made[observable] = nir.TimeGriddedData(array, step)
                continue
            counts = _counts(f"to_nir_data: {observable} of node {name!r}", array)
            made[observable] = _events(nir, counts, step) if events else nir.TimeGriddedData(counts > 0, step)
            missing = 0 if events else int((counts - (counts > 0)).sum())
            if missing:
                lost[name] = missing
        nodes[name] = nir.NIRNodeData(made)
    _warn_lost("to_nir_data", lost, ": events=True keeps them")
    return nir.NIRGraphData(nodes)


def _times(verb: str, dt: float, time_unit: str) -> Times:
    if not (isinstance(dt, (int, float)) and np.isfinite(dt) and dt > 0):
        raise ValueError(f"{verb}: dt must be a number of seconds above 0, got {dt!r}")
    if time_unit not in TIME_UNITS:
        raise ValueError(f"{verb}: time_unit must be one of {', '.join(TIME_UNITS)}, got {time_unit!r}")
    return Times(float(dt), time_unit)


def _warn_lost(verb: str, lost: Mapping[str, int], hint: str = "") -> None:
    if lost:
        total = counted(sum(lost.values()), "spike")
        where = ", ".join(f"{number} of node {name!r}" for name, number in lost.items())
        warnings.warn(f"{verb}: {total} lost, {where}{hint}", NIRWarning, stacklevel=3)


def _observables(data: Any, observable: str, prefix: str) -> List[Tuple[str, Any]]:
    """All nodes with the observable, by full name."""
    nodes = getattr(data, "nodes", None)
    if not isinstance(nodes, dict):
        raise TypeError(f"from_nir_data: data must be a nir.NIRGraphData, got {type(data).__name__}")
    found: List[Tuple[str, Any]] = []
    for name, node in nodes.items():
        if hasattr(node, "nodes"):
            found += _observables(node, observable, f"{prefix}{name}.")
        elif observable in getattr(node, "observables", {}):
            found.append((prefix + name, node.observables[observable]))
    return found


class _Grid:
    """One observable as steps, samples, neurons and values."""

    def __init__(self, where: str, entry: Any, times: Times, spikes: bool) -> None:
        self.where = f"from_nir_data: {where}"
        self.dense_array: Optional[np.ndarray] = None
        if hasattr(entry, "idx"):
            self._from_events(entry, times)
        elif hasattr(entry, "data"):
            self._from_grid(entry, times, spikes)
        else:
            raise TypeError(f"{self.where} has neither events nor a grid, got {type(entry).__name__}")

    def _from_events(self, entry: Any, times: Times) -> None:
        idx, time = np.asarray(entry.idx), np.asarray(entry.time, dtype=np.float64)
        if idx.ndim != 2 or idx.shape != time.shape:
            raise ValueError(f"{self.where}: idx and time must be [samples, events], got {idx.shape} and {time.shape}")
        neurons = int(entry.n_neurons)
        there = idx != -1
        if ((idx[there] < 0) | (idx[there] >= neurons)).any():
            wrong = idx[there][(idx[there] < 0) | (idx[there] >= neurons)][0]
            raise ValueError(f"{self.where}: idx must lie in 0..{neurons - 1}, or be -1 for none, got {wrong}")
        self.batch, self.neurons = idx.shape[0], neurons
        t_max = float(entry.t_max) * times.unit / times.dt
        limit = int(np.rint(t_max)) if np.isfinite(t_max) and t_max > 0 else 0
        sample, _ = np.nonzero(there)
        raw = time[there] * times.unit / times.dt
        finite = np.isfinite(raw)
        step = np.rint(np.where(finite, raw, -1.0))
        self.lost = int((~finite).sum())
        self.step, self.sample, self.neuron = (a[finite] for a in (step, sample, idx[there]))
        values = getattr(entry, "value", None)
        self.value = np.ones(self.step.size) if values is None else np.asarray(values, dtype=np.float64)[there][finite]
        self.steps = limit + int(self.step.size > 0 and bool((self.step == limit).any()))

    def _from_grid(self, entry: Any, times: Times, spikes: bool) -> None:
        data = np.asarray(entry.data)
        if data.ndim != 3:
            raise ValueError(f"{self.where}: data must be [samples, time, neurons], got shape {list(data.shape)}")
        self.batch, length, self.neurons = data.shape
        own = float(entry.dt) * times.unit
        same = abs(own - times.dt) <= 1e-6 * times.dt
        self.lost = 0
        if same or not spikes:
            if not same:
                raise ValueError(f"{self.where}: a trace must be on a grid of dt = {times.dt:g} s, got {own:g} s")
            self.dense_array, self.steps = data, length
            return
        self.sample, step, self.neuron = np.nonzero(data)
        self.value = data[self.sample, step, self.neuron].astype(np.float64)
        self.step = np.rint(step * own / times.dt)
        limit = int(np.rint(length * own / times.dt))
        self.steps = limit + int(self.step.size > 0 and bool((self.step == limit).any()))

    def dense(self, steps: int, binary: bool) -> Tuple[np.ndarray, int]:
        """`[time, batch, neuron]` and the number of spikes that are not in it."""
        result = np.zeros((steps, self.batch, self.neurons))
        if self.dense_array is not None:
            array = np.moveaxis(self.dense_array, 1, 0).astype(np.float64)
            kept = min(steps, array.shape[0])
            result[:kept] = array[:kept]
            lost = self.lost + int(np.count_nonzero(array[kept:]))
        else:
            inside = (self.step >= 0) & (self.step < steps)
            place = (self.step[inside].astype(np.int64), self.sample[inside], self.neuron[inside])
            np.add.at(result, place, self.value[inside])
            lost = self.lost + int((~inside).sum())
        if binary:
            lost += int(np.maximum(result - 1, 0).sum())
            result = np.minimum(result, 1)
        return result, lost


def _array(where: str, tensor: Any) -> np.ndarray:
    if not isinstance(tensor, Tensor) or tensor.dim() != 3:
        got = list(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
        raise ValueError(f"{where} must be a tensor [time, batch, neuron], got {got}")
    whole = tensor.detach().cpu()
    moved = whole.float() if whole.dtype in (torch.half, torch.bfloat16) else whole
    return np.ascontiguousarray(moved.transpose(0, 1).numpy())


def _counts(where: str, array: np.ndarray) -> np.ndarray:
    if not (np.isfinite(array).all() and (array >= 0).all() and (array == np.rint(array)).all()):
        raise ValueError(f"{where} must be whole numbers of at least 0")
    return array.astype(np.int64)


def _events(nir: Any, counts: np.ndarray, step: float) -> Any:
    """Events in order of time, as many columns as the fullest sample has events; the others are filled up."""
    batch, length, neurons = counts.shape
    width = int(counts.sum(axis=(1, 2)).max()) if counts.size else 0
    idx, time = np.full((batch, width), -1), np.full((batch, width), np.inf)
    for sample in range(batch):
        steps, neuron = np.nonzero(counts[sample])
        times = np.repeat(steps, counts[sample][steps, neuron])
        idx[sample, : times.size] = np.repeat(neuron, counts[sample][steps, neuron])
        time[sample, : times.size] = times * step
    return nir.EventData(idx, time, neurons, length * step)
