"""The layer in the way of hxtorch: training step of Yin-Yang against hxtorch-style loops, overhead, connections."""

import functools
import time
from typing import Any, Callable, Dict, List, Tuple

import hxtorch_loop
import measure
import torch
from layer import HXTORCH
from torch import Tensor

import gradspike.spiking as hxsnn
from gradspike import functional
from gradspike.examples import spiking_yinyang as example
from gradspike.spiking.modules.types import ProjectionConnection
from gradspike.spiking.transforms.weight_transforms import linear_saturating

LAYER, PLAIN = "gradspike.spiking", "plain operators"
COMPILED_TEXT = "hxtorch-style loop, text compiled once"
COMPREHENSION = "list comprehension"
RATIO_TARGET = 15.0
PREDICTED = {"surrogate gradients": 20.0, "EventProp": 20.0}
OVERHEAD_TARGET = 50.0
"""Of a module and a run [us]."""
LIST_TARGET = 153.0 / 10.0
"""A tenth of what hxtorch was measured to take for 256 x 512 connections, 153 ms on 2 cores [ms]."""
ARRAY_TARGET = 1.0
SHORTEST_SAMPLE = 0.03
"""A training runs steps in a row: in samples of a few steps, the first would pay for memory that the loop before gave
back to the system [s]."""
CAPACITANCE = 10e-6
"""Of the readout [s], the default of hxtorch."""
REFRACTORY_TIME = 1e-6
CONSTANTS = {"leak": 0.0, "tau_mem": example.TAU, "tau_syn": example.TAU, "dt": example.DT}

Observed = Tuple[Tensor, Tensor]
"""Hidden spikes, and scores before their gain."""
Forward = Callable[[Tensor, Tensor, Tensor], Observed]


def by_operators(spikes: Tensor, hidden: Tensor, readout: Tensor) -> Observed:
    current = functional.graded_spikes(spikes, hidden, rounding="none")
    fired = functional.lif(
        current,
        tau_mem=example.TAU,
        tau_syn=example.TAU,
        membrane_capacitance=example.TAU,
        refractory_time=REFRACTORY_TIME,
        dt=example.DT,
        outputs="spikes+membrane+current",
    ).spikes
    return fired, _readout_by_operators(fired, readout)


def eventprop_by_operators(spikes: Tensor, hidden: Tensor, readout: Tensor) -> Observed:
    current, adjoint = functional.eventprop_graded_spikes(spikes, hidden, rounding="none")
    fired = functional.eventprop_lif(
        current,
        adjoint,
        tau_mem=example.TAU,
        tau_syn=example.TAU,
        dt=example.DT,
        outputs="spikes+membrane+current",
    ).spikes
    return fired, _readout_by_operators(fired, readout)


def _readout_by_operators(fired: Tensor, readout: Tensor) -> Tensor:
    current = functional.graded_spikes(fired, readout, rounding="none")
    membrane = functional.li(
        current,
        tau_mem=example.TAU,
        tau_syn=example.TAU,
        membrane_capacitance=CAPACITANCE,
        dt=example.DT,
        outputs="membrane+current",
    ).membrane
    return membrane.amax(0)


def by_loop(spikes: Tensor, hidden: Tensor, readout: Tensor, text: bool = True) -> Observed:
    graded = torch.nn.functional.linear(spikes, hidden)
    own = {"threshold": 1.0, "reset": 0.0, "refractory_time": REFRACTORY_TIME, "alpha": 50.0}
    fired, _, _ = hxtorch_loop.cuba(graded, {**CONSTANTS, **own, "capacitance": example.TAU}, True, text)
    return fired, _readout_by_loop(fired, readout, text)


def eventprop_by_loop(spikes: Tensor, hidden: Tensor, readout: Tensor, text: bool = True) -> Observed:
    graded = hxtorch_loop.EventPropLinear.apply(spikes, hidden)
    tau = example.TAU
    fired, _, _ = hxtorch_loop.EventPropNeurons.apply(graded, 0.0, 0.0, 1.0, tau, tau, example.DT)
    return fired, _readout_by_loop(fired, readout, text)


def _readout_by_loop(fired: Tensor, readout: Tensor, text: bool) -> Tensor:
    graded = torch.nn.functional.linear(fired, readout)
    _, membrane, _ = hxtorch_loop.cuba(graded, {**CONSTANTS, "capacitance": CAPACITANCE}, False, text)
    return membrane.amax(0)


class Plain(torch.nn.Module):
    """Weights of a model with a forward pass of functions: what a script without the layer would do."""

    def __init__(self, model: example.YinYangModel, forward: Forward) -> None:
        super().__init__()
        weights = (model.hidden_synapse.weight, model.readout_synapse.weight)
        self.hidden, self.readout = (torch.nn.Parameter(weight.detach().clone()) for weight in weights)
        self.of = forward
        self.spikes = torch.empty(0)

    def forward(self, spikes: Tensor) -> Tensor:
        fired, scores = self.of(spikes, self.hidden, self.readout)
        self.spikes = fired.detach()
        scaled: Tensor = hxsnn.functional.Unterjubel.apply(scores, example.READOUT_SCALE * scores.detach())
        return scaled


def make_models(eventprop: bool) -> Dict[str, Any]:
    """The example's network by the layer, by operators and by loops, with the same weights."""
    torch.manual_seed(0)
    model = example.YinYangModel(example.Settings(eventprop=eventprop))
    operators, loop = (eventprop_by_operators, eventprop_by_loop) if eventprop else (by_operators, by_loop)
    compiled = functools.partial(loop, text=False)
    functions = {PLAIN: operators, HXTORCH: loop, COMPILED_TEXT: compiled}
    return {LAYER: model, **{name: Plain(model, function) for name, function in functions.items()}}


def check(models: Dict[str, Any], data: example.Data) -> Dict[str, Any]:
    """Spikes must be those of the loop in every bit, gradients within 1e-4."""
    seen = {}
    for name, model in models.items():
        loss = example.loss_of(model(data.train_spikes), data.train_classes)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        seen[name] = (model.spikes, gradients)
    spikes, expected = seen[HXTORCH]
    checks: Dict[str, Any] = {"hidden spikes per neuron and step": float(spikes.mean())}
    for name in (LAYER, PLAIN, COMPILED_TEXT):
        checks[name] = {
            "spikes that differ": measure.require_equal(name, seen[name][0], spikes),
            "largest error of a gradient": max(
                measure.require_close(name, actual, wanted) for actual, wanted in zip(seen[name][1], expected)
            ),
        }
    return checks


def make_step(model: Any, data: example.Data) -> Callable[[], None]:
    """A training step with Adam, at a rate that leaves the weights where they are."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-6)

    def step() -> None:
        optimizer.zero_grad()
        example.loss_of(model(data.train_spikes), data.train_classes).backward()
        optimizer.step()

    return step


def overheads(options: Any, details: Dict[str, Any]) -> List[Dict[str, Any]]:
    """What four modules and a run add to their operators, on an input that takes the operators next to no time."""
    rows = []
    clock = measure.clock_of(options)
    spikes = torch.zeros(example.NUM_STEPS, 1, example.CHANNELS)
    for eventprop in (False, True):
        kind = "EventProp" if eventprop else "surrogate gradients"
        models = make_models(eventprop)
        works = {name: functools.partial(models[name], spikes) for name in (LAYER, PLAIN)}
        times = details[f"forward of one sample, {kind}"] = measure.interleaved(works, options)
        added = measure.value_of(times, LAYER, clock) - measure.value_of(times, PLAIN, clock)
        case = f"added by the layer, per module and run, {kind}"
        rows.append(measure.row(case, PLAIN, added * 1e3 / 4, "us", 30.0, at_most=OVERHEAD_TARGET))
    return rows


def calls(works: Dict[str, Callable[[], Any]], samples: int) -> Dict[str, Any]:
    """Times of single calls in turn, without that of releasing their results: a script uses them."""
    taken: Dict[str, List[float]] = {name: [] for name in works}
    for _ in range(samples):
        for name, work in works.items():
            start = time.process_time()
            result = work()
            taken[name].append((time.process_time() - start) * 1e3)
            del result
    return {name: {"cpu_ms": measure.summary(values)} for name, values in taken.items()}


def connections(options: Any, checks: Dict[str, Any], details: Dict[str, Any]) -> List[Dict[str, Any]]:
    """256 x 512 connections as a list of tuples and as an array."""
    torch.manual_seed(0)
    transform = functools.partial(linear_saturating, scale=700.0)
    synapse = hxsnn.Synapse(512, 256, hxsnn.Experiment(mock=True), transform=transform)

    def comprehension() -> List[Any]:
        weight = torch.round(synapse.weight_transform(synapse.weight.data.clone())).to(torch.int32).numpy()
        post, pre = weight.shape
        return [ProjectionConnection(j, i, weight[i, j]) for i in range(post) for j in range(pre)]

    expected = comprehension()
    if synapse.get_connections() != expected or synapse.connection_array().tolist() != [list(c) for c in expected]:
        raise RuntimeError("connections differ from those of the list comprehension")
    checks["connections compared"] = len(expected)
    del expected
    works: Dict[str, Callable[[], Any]] = {
        "list": synapse.get_connections,
        "array": synapse.connection_array,
        COMPREHENSION: comprehension,
    }
    times = details["connections"] = calls(works, options.samples)
    clock = "cpu_ms"
    case = "get_connections of 256 x 512"
    return [
        measure.row(case, "own time, list", measure.value_of(times, "list", clock), "ms", at_most=LIST_TARGET),
        measure.row(case, "own time, array", measure.value_of(times, "array", clock), "ms", at_most=ARRAY_TARGET),
        measure.ratio_row(f"{case}, list", times, COMPREHENSION, "list", clock),
    ]


def main() -> None:
    options = measure.parse_options(__doc__)
    clock = measure.clock_of(options)
    measure.SHORTEST_SAMPLE = SHORTEST_SAMPLE
    data = example.load_data(50, 1)
    checks: Dict[str, Any] = {}
    details: Dict[str, Any] = {"clock": clock}
    rows: List[Dict[str, Any]] = []
    for eventprop in (False, True):
        kind = "EventProp" if eventprop else "surrogate gradients"
        models = make_models(eventprop)
        checks[kind] = check(models, data)
        steps = {name: make_step(model, data) for name, model in models.items()}
        times = details[f"training step, {kind}"] = measure.interleaved(steps, options)
        case = f"Yin-Yang 5-120-3, T=38, B=50, training step, {kind}"
        rows.append(measure.ratio_row(case, times, HXTORCH, LAYER, clock, PREDICTED[kind], RATIO_TARGET))
        rows.append(measure.ratio_row(case, times, COMPILED_TEXT, LAYER, clock))
        rows.append(measure.ratio_row(case, times, PLAIN, LAYER, clock))
        rows.append(measure.row(case, "own time", measure.value_of(times, LAYER, clock), "ms"))
    rows += overheads(options, details)
    rows += connections(options, checks, details)
    measure.write("spiking", options, checks, rows, details)


if __name__ == "__main__":
    main()
