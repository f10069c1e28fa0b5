"""NIR graphs as networks of experiments."""

import functools
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Optional

import numpy as np
import torch
from torch import Tensor

from gradspike import nir
from gradspike.spiking.experiment import Experiment
from gradspike.spiking.handle import Handle, LIFObservables
from gradspike.spiking.modules import LI, LIF, HXModuleWrapper, InputNeuron, Synapse
from gradspike.spiking.modules.neuron_parameters import capacitance_on_chip
from gradspike.spiking.parameter import HXTransformedModelParameter, MixedHXModelParameter
from gradspike.spiking.run import run
from gradspike.spiking.transforms.weight_transforms import linear_saturating

_HARDWARE = {"leak": 80.0, "reset": 80.0, "threshold": 150.0}
"""Potentials on the chip [LSB], hxtorch's."""


@dataclass
class ConversionConfig:
    """How a graph becomes an experiment.

    Attributes:
        dt: Time step [s].
        calib_path: Calibration, handed to the backend.
        weight_scale: Model weight to LSB.
        trace_scale: Model units per LSB of a reading.
        trace_shift: Steps by which readings come too late.
        cadc_recording: Whether membranes are recorded.
        mock: Whether to simulate.
        input_loopback: Whether input spikes are recorded on their way.
        device: Device of the weights.
        time_unit: Unit of the times in the graph: "ms" as hxtorch takes them, "s", "us" or "steps". gradspike's own.
        preset: Convention of the graph, see `gradspike.nir.PRESETS`. gradspike's own.
        hardware_weights: Whether projections simulate with integers. gradspike's own.
    """

    dt: float = 1e-6
    calib_path: Optional[str] = None
    weight_scale: float = 64.0
    trace_scale: float = 1 / 50
    trace_shift: float = 0.0
    cadc_recording: bool = True
    mock: bool = True
    input_loopback: bool = True
    device: Any = field(default_factory=lambda: torch.device("cpu"))
    time_unit: str = "ms"
    preset: str = "hxtorch"
    hardware_weights: bool = False


class SNN(torch.nn.Module):
    """A network of a graph: `forward({input: spikes [time, batch, neuron]}) -> {name: spikes}`.

    The results are the spikes of every input and every firing population, by the name of their node.

    Attributes:
        exp: The experiment.
        hxnodes: Modules by the name of their node; "." is "_" there.
        spike_keys: Names of the results.
        output: Handles of the last run by name of the node, those of integrators too.
    """

    def __init__(self, experiment: Experiment, analysis: Any) -> None:
        super().__init__()
        self.exp = experiment
        self.hxnodes = torch.nn.ModuleDict()
        self.output: Dict[str, Any] = {}
        self.spike_keys: List[str] = []
        self._analysis = analysis
        self._wrappers: List[HXModuleWrapper] = []

    def forward(self, input: Dict[str, Tensor]) -> Dict[str, Tensor]:
        runtime = self._call(input)
        run(self.exp, runtime)
        return {name: self.output[name].spikes for name in self.spike_keys}

    def _call(self, input: Dict[str, Tensor]) -> int:
        names = [unit.name for unit in self._analysis.inputs]
        if set(input) != set(names):
            raise ValueError(f"forward takes spikes for the inputs {names}, got {sorted(input)}")
        handles: Dict[str, Handle] = {}
        for name in names:
            source: Any = self.hxnodes[_key(name)]
            handles[name] = source(LIFObservables(spikes=input[name]))
        for group in self._analysis.order:
            self._call_group(group, handles)
        for wrapper in self._wrappers:
            wrapper()
        self.output = handles
        return int(input[names[0]].shape[0])

    def _call_group(self, group: Any, handles: Dict[str, Handle]) -> None:
        modules: Any = self.hxnodes
        populations = [name for name in group.members if _key(name) in modules and name not in handles]
        for name in populations:
            handles[name] = modules[_key(name)].output_type()
        for name in populations:
            sums = [
                modules[_projection_key(projection)](handles[projection.source])
                for projection in self._analysis.into(name)
            ]
            modules[_key(name)](*sums, output=handles[name])


def from_nir(graph: Any, config: Optional[ConversionConfig] = None) -> SNN:
    """A network of the modules of `gradspike.spiking` for a graph or a file.

    With the default preset the graph means what hxtorch takes it for: times in ms, a spike adds the bare weight, the
    capacitance of CubaLIF is tau_mem / r, the gain of CubaLI is fixed, a refractory time of 1 us. Other presets import
    graphs of other frameworks, see `gradspike.nir`; every node that cannot be imported is named at once.

    Args:
        graph: `nir.NIRGraph`, or path of a file.
        config: See `ConversionConfig`.

    Raises:
        gradspike.nir.NIRImportError: nodes cannot be imported; a table names each with reason and remedy.

    Example:
        >>> import nir, numpy as np
        >>> ones, eye = np.ones(2), np.eye(2)
        >>> nodes = {
        ...     "in": nir.Input(np.array([2])),
        ...     "w": nir.Linear(8 * eye),
        ...     "lif": nir.CubaLIF(0.01 * ones, 0.01 * ones, ones, 0 * ones, ones, 0 * ones),
        ...     "out": nir.Output(np.array([2])),
        ... }
        >>> network = from_nir(nir.NIRGraph(nodes, [("in", "w"), ("w", "lif"), ("lif", "out")]))
        >>> network({"in": torch.ones(6, 1, 2)})["lif"].detach().sum(0)
        tensor([[2., 2.]])
    """
    config = config or ConversionConfig()
    used = _convention(config)
    analysis = nir.analyse(graph, dt=config.dt, time_unit=config.time_unit)
    _refuse(analysis, used)
    experiment = Experiment(mock=config.mock, dt=config.dt, hardware_weights=config.hardware_weights)
    experiment.default_execution_instance.load_calib(config.calib_path)
    experiment.default_execution_instance.input_loopback = config.input_loopback
    network = SNN(experiment, analysis)
    for unit in analysis.inputs:
        network.hxnodes[_key(unit.name)] = InputNeuron(
            unit.size, experiment, enable_spike_loopback=config.input_loopback, name=unit.name
        )
    for unit in analysis.units.values():
        if unit.is_population:
            network.hxnodes[_key(unit.name)] = _neurons(unit, experiment, config, used)
    for projection in analysis.projections:
        if analysis.units[projection.target].is_population:
            network.hxnodes[_projection_key(projection)] = _synapse(projection, analysis, experiment, config)
    for group in analysis.order:
        if group.recurrent:
            network._wrappers.append(_wrapper(group, network))
    network.spike_keys = [unit.name for unit in analysis.inputs]
    network.spike_keys += [unit.name for unit in analysis.units.values() if unit.fires]
    return network


def from_nir_data(data: Any, model: Any) -> Dict[str, Tensor]:
    """Spikes of NIR data as tensors `[time, batch, neuron]` on the time grid of a model, see `gradspike.nir`.

    Args:
        data: `nir.NIRGraphData`, with times in s.
        model: A network with an experiment `exp`, as `from_nir` gives it.
    """
    return nir.from_nir_data(data, dt=model.exp.dt)


def _convention(config: ConversionConfig) -> nir.Convention:
    if config.preset not in nir.PRESETS:
        raise ValueError(f"ConversionConfig: preset must be one of {', '.join(nir.PRESETS)}, got {config.preset!r}")
    return replace(nir.PRESETS[config.preset], dt=config.dt, time_unit=config.time_unit)


def _refuse(analysis: nir.Analysis, used: nir.Convention) -> None:
    """Raises with every node that has no counterpart here."""
    problems = list(analysis.problems)
    other = "import the graph with gradspike.nir.from_nir"
    for unit in analysis.units.values():
        if unit.type not in ("Input", "Output", "CubaLIF", "CubaLI"):
            problems.append(nir.Problem(unit.name, unit.type, "there are no such neurons here", other))
        if unit.type.startswith("Cuba") and (nir.neuron_arguments(unit, used).sign < 0).any():
            problems.append(nir.Problem(unit.name, unit.type, "r or w_in is negative", other))
    for bias in analysis.biases:
        problems.append(nir.Problem(bias.node, "Affine", "a projection has no bias", other))
    for projection in analysis.projections:
        if projection.delay is not None:
            problems.append(nir.Problem(projection.name, "Delay", "a projection has no delay", other))
        if analysis.units[projection.target].type == "Output" and projection.weight is not None:
            problems.append(
                nir.Problem(projection.name, "Linear", "it leads to no population", "add neurons behind it")
            )
    for group in analysis.order:
        if group.recurrent and len(group.members) > 1:
            names = ", ".join(group.members)
            problems.append(
                nir.Problem(names, "loop", "a loop of several populations needs a function of its own", other)
            )
    if used.reset != "value" or used.decay != "euler":
        problems.append(nir.Problem("(graph)", "convention", f"reset={used.reset}, decay={used.decay}", other))
    if problems:
        raise nir.NIRImportError("from_nir: the graph has nodes without a counterpart in gradspike.spiking", problems)


def _key(name: str) -> str:
    """Name for a ModuleDict, whose keys have no dots."""
    return name.replace(".", "_")


def _projection_key(projection: nir.Projection) -> str:
    name = projection.name if projection.weights else f"{projection.source}_to_{projection.target}"
    return _key(name)


def _neurons(unit: nir.Unit, experiment: Experiment, config: ConversionConfig, used: nir.Convention) -> Any:
    arguments = nir.neuron_arguments(unit, used)
    recording: Dict[str, Any] = {
        "trace_scale": config.trace_scale,
        "cadc_time_shift": int(config.trace_shift),
        "enable_cadc_recording": config.cadc_recording,
        "name": unit.name,
    }
    common = {
        "leak": MixedHXModelParameter(_value(arguments.leak), _HARDWARE["leak"]),
        "tau_mem": _value(arguments.tau_mem),
        "tau_syn": _value(arguments.tau_syn),
        "membrane_capacitance": HXTransformedModelParameter(
            _value(arguments.membrane_capacitance), capacitance_on_chip
        ),
        **recording,
    }
    if unit.type == "CubaLI":
        return LI(unit.size, experiment, **common)
    return LIF(
        unit.size,
        experiment,
        reset=MixedHXModelParameter(_value(arguments.reset), _HARDWARE["reset"]),
        threshold=MixedHXModelParameter(_value(arguments.threshold), _HARDWARE["threshold"]),
        refractory_time=used.refractory_time,
        **common,
    )


def _value(values: np.ndarray) -> Any:
    """A number where all neurons have the same, else a tensor."""
    return float(values[0]) if (values == values[0]).all() else torch.as_tensor(values, dtype=torch.float32)


def _synapse(
    projection: nir.Projection, analysis: nir.Analysis, experiment: Experiment, config: ConversionConfig
) -> Synapse:
    matrix = projection.matrix(analysis.units[projection.target].size)
    synapse = Synapse(
        matrix.shape[1],
        matrix.shape[0],
        experiment,
        device=config.device,
        transform=functools.partial(linear_saturating, scale=config.weight_scale),
        name=_projection_key(projection),
    )
    with torch.no_grad():
        synapse.weight.copy_(torch.as_tensor(matrix))
    return synapse


def _wrapper(group: nir.Group, network: SNN) -> HXModuleWrapper:
    """The modules of a loop of one population, inputs first."""
    (name,) = group.members
    projections = network._analysis.into(name)
    ordered = sorted(projections, key=lambda projection: projection.source == name)
    modules: Dict[str, Any] = {
        _projection_key(projection): network.hxnodes[_projection_key(projection)] for projection in ordered
    }
    modules[_key(name)] = network.hxnodes[_key(name)]
    return HXModuleWrapper(network.exp, **modules)
