"""An experiment on a backend: reads, maps and uploads what changed, runs, and hands out what was measured."""

import numbers
import os
import warnings
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gradspike import chip
from gradspike.spiking._module import Equivalent, Integers, Kept, equivalent
from gradspike.spiking._readout import Observables
from gradspike.spiking._wishes import wishes_of
from gradspike.spiking.backend.module_manager import Call, describe, external_inputs
from gradspike.spiking.modules.hx_module_wrapper import HXModuleWrapper
from gradspike.spiking.modules.neuron import AELIF, VOLTAGE
from gradspike.spiking.modules.synapse import Synapse
from gradspike.spiking.modules.types import Projection
from gradspike.spiking.morphology import circuits_per_neuron

_EMULATOR = "emulator"

_FPGA_CYCLE = 8e-9
"""Clock cycle of the FPGA that drives a chip [s]."""


class Hardware:
    """What an experiment has on its backend.

    Attributes:
        result: What the last run gave.
        mapping: Mapping of the network, None before the first run.
        uploads: How often weights were written.
        network: The network that was read, None before the first run.
    """

    def __init__(self, experiment: Any) -> None:
        self.experiment = experiment
        self.result: Optional[chip.Result] = None
        self.mapping: Optional[chip.Mapping] = None
        self.network: Optional[chip.Network] = None
        self.uploads = 0
        self._equivalent: Optional[Equivalent] = None
        self._deployed: Optional[chip.Deployed] = None
        self._content: Any = None
        self._places: Any = None
        self._target: Any = None
        self._warned = False

    def run(self, calls: Sequence[Call], runtime: int) -> chip.Result:
        """Runs the calls on the backend and gives each module what was measured."""
        _require_populations(self.experiment, calls)
        handles = external_inputs(calls)
        inputs = [_in_steps(_spikes(self.experiment, handle), runtime) for handle in handles]
        deployed = self._deploy(calls, inputs)
        self.result = deployed(
            *inputs,
            membrane=self._recorded(),
            madc=self._madc(),
            seed=self.experiment.trial,
            inter_batch_wait=_seconds(self.experiment.inter_batch_entry_wait),
        )
        self.experiment.trial += 1
        self.experiment.runtime = runtime
        self._hand_out(calls, inputs)
        return self.result

    def chip_configs(self) -> Optional[Dict[str, Tensor]]:
        """The integers that the backend held in the last run; None before that."""
        return None if self.network is None or self.result is None else self.network.integers()

    # Reading, mapping, uploading

    def _deploy(self, calls: Sequence[Call], inputs: Sequence[Tensor]) -> chip.Deployed:
        content = _content(self.experiment, calls)
        if self.network is None or self.network.is_stale or content != self._content:
            self._read(calls, inputs)
            self._content = content
        self._refresh(calls)
        target = self._options()
        if self._deployed is None or target != self._target or self._deployed.changed:
            assert self.network is not None
            self._deployed = self.network.deploy(*target)
            self._target = target
            self.uploads += 1
            self._mark_written(calls)
        return self._deployed

    def _read(self, calls: Sequence[Call], inputs: Sequence[Tensor]) -> None:
        """Reads the network; it keeps the mapping where the new one has the same connections in the same places."""
        self._equivalent = equivalent(self.experiment, calls, on_chip=True)
        wishes = wishes_of(self._equivalent.names)
        network = chip.read(self._equivalent.module, tuple(inputs), self.experiment.name, projections=wishes)
        places = {name: (wish.get("chip_coordinate"), wish.get("execution_instance")) for name, wish in wishes.items()}
        stays = self.mapping is not None and places == self._places and _takes(network, self.mapping)
        self._places = places
        if not stays:
            self.mapping = network.map()
            if self.experiment.post_mapping_hook is not None:
                self.experiment.post_mapping_hook(self.mapping)
        self.network, self._deployed = network, None

    def _options(self) -> Tuple[Any, ...]:
        experiment = self.experiment
        chosen = experiment.backend or os.environ.get("GRADSPIKE_BACKEND")
        if chosen is None and not self._warned:
            self._warned = True
            warnings.warn(
                f"{experiment.name}: no backend is named, the network runs on the emulator ({experiment.preset}); name "
                "one with Experiment(backend=...) or GRADSPIKE_BACKEND, Experiment(backend='emulator') for this one",
                stacklevel=6,
            )
        calibration = experiment.calibration or experiment.default_execution_instance.calib_path
        text = os.fspath(calibration) if isinstance(calibration, (str, os.PathLike)) else ""
        if chosen is None or chosen.split()[0] == _EMULATOR:
            text = ""  # an emulator is calibrated to the model
        constants = dict(experiment.constants or {})
        return chosen, experiment.preset, experiment.seed, constants, text

    def _refresh(self, calls: Sequence[Call]) -> None:
        """What dropout keeps and what transforms of the user make, uploaded like any other change of weights."""
        for call, mask in _dropout_masks(calls):
            for part in self._layer(call.module).modules():
                if isinstance(part, Kept):
                    part.kept.copy_(mask)
        for call in calls:
            if isinstance(call.module, Synapse) and call.module.linear() is None:
                for part in self._layer(call.module).modules():
                    if isinstance(part, Integers):
                        part.integers.copy_(call.module.transformed_weight())

    def _layer(self, module: Any) -> Any:
        assert self._equivalent is not None
        name = self._equivalent.names[module]
        found = (layer for layer in self._equivalent.module.modules() if getattr(layer, "projection", None) == name)
        return next(found)

    def _mark_written(self, calls: Sequence[Call]) -> None:
        for module in _modules(calls):
            module.changed_topology = False
            if hasattr(module, "changed_input_data"):
                module.changed_input_data = False

    # Measuring

    def _populations(self) -> Dict[str, AELIF]:
        assert self._equivalent is not None
        return {name: module for module, name in self._equivalent.names.items() if isinstance(module, AELIF)}

    def _recorded(self) -> List[str]:
        recorded = {name: module for name, module in self._populations().items() if module.enable_cadc_recording}
        for module in recorded.values():
            _require_membrane(self.experiment, module, "cadc_readout_source")
        return [name for name, module in recorded.items() if module.fire]

    def _madc(self) -> Optional[Tuple[str, int]]:
        asked = [(name, module) for name, module in self._populations().items() if module.enable_madc_recording]
        if not asked:
            return None
        if len(asked) > 1:
            names = ", ".join(repr(name) for name, _ in asked)
            raise ValueError(f"the fast converter records one population in a run, asked for {names}")
        name, module = asked[0]
        if module.record_neuron_id is None:
            raise ValueError(f"{describe(self.experiment, module)}: enable_madc_recording needs record_neuron_id")
        _require_membrane(self.experiment, module, "madc_readout_source")
        return name, int(module.record_neuron_id)

    def _hand_out(self, calls: Sequence[Call], inputs: Sequence[Tensor]) -> None:
        """Gives each population what was measured, on the device of the input."""
        assert self.result is not None
        device = inputs[0].device if inputs else torch.device("cpu")
        madc = self._madc()
        for module in _modules(calls):
            module.hw_observables = None
        for name, module in self._populations().items():
            spikes, membrane = self.result.spikes.get(name), self.result.membrane.get(name)
            samples = None
            if madc is not None and madc[0] == name and self.result.madc:
                (values,) = (value for key, value in self.result.madc.items() if key != "times")
                times = self.result.madc["times"].to(torch.float32)
                samples = torch.stack((times.unsqueeze(1).expand(-1, values.shape[1]), values.float())).to(device)
            module.hw_observables = Observables(
                None if spikes is None else spikes.to(device),
                None if membrane is None else membrane.to(device=device, dtype=torch.float32),
                samples,
            )


def _takes(network: chip.Network, mapping: chip.Mapping) -> bool:
    """Whether the mapping of an earlier reading is one of this network too."""
    try:
        network.use_mapping(mapping)
    except RuntimeError:
        return False
    return True


def _require_populations(experiment: Any, calls: Sequence[Call]) -> None:
    inside = [module for call in calls for module in getattr(call.module, "wrapped", {}).values()]
    for call in calls:
        module = call.module
        if isinstance(module, Projection) and module not in inside and module.target_population() is None:
            raise ValueError(
                f"{describe(experiment, module)}: on hardware a projection needs a population behind it, nothing reads "
                "its handle but the host"
            )


def _require_membrane(experiment: Any, module: Any, option: str) -> None:
    source = getattr(module, option)
    if getattr(source, "name", source) not in ("membrane", VOLTAGE):
        raise ValueError(f"{describe(experiment, module)}: backends record membranes, got {option}={source!r}")


def _seconds(wait: Any) -> float:
    """A time in seconds, or where it is a whole number, as hxtorch has it, in clock cycles of the FPGA."""
    return int(wait) * _FPGA_CYCLE if isinstance(wait, numbers.Integral) else float(wait or 0.0)


def _spikes(experiment: Any, handle: Any) -> Tensor:
    spikes = getattr(handle, "spikes", None)
    if not isinstance(spikes, Tensor) or spikes.dim() != 3:
        got = list(spikes.shape) if isinstance(spikes, Tensor) else spikes
        raise ValueError(
            f"{experiment.name}: on hardware the inputs are handles with spikes [time, batch, neuron], got {got}"
        )
    return spikes.detach()


def _in_steps(spikes: Tensor, runtime: int) -> Tensor:
    """The first steps of the spikes, or the spikes and then none."""
    missing = runtime - spikes.shape[0]
    return spikes[:runtime] if missing <= 0 else torch.cat([spikes, spikes.new_zeros(missing, *spikes.shape[1:])])


def _modules(calls: Sequence[Call]) -> List[Any]:
    found: List[Any] = []
    for call in calls:
        found += list(call.module.wrapped.values()) if isinstance(call.module, HXModuleWrapper) else [call.module]
    return found


def _dropout_masks(calls: Sequence[Call]) -> List[Tuple[Call, Tensor]]:
    """Projections behind dropout, with the neurons that are kept."""
    from gradspike.spiking.modules.batch_dropout import BatchDropout

    masks: Dict[int, Tensor] = {}
    found = []
    for call in calls:
        before = masks.get(id(call.inputs[0])) if call.inputs else None
        if isinstance(call.module, BatchDropout):
            masks.update({id(target): call.module.mask for target in call.targets if call.module.mask is not None})
        elif isinstance(call.module, Projection) and before is not None:
            found.append((call, before))
        elif before is not None:  # a module of the user
            masks.update({id(target): before for target in call.targets})
    return found


def _content(experiment: Any, calls: Sequence[Call]) -> Any:
    """What the description of the network depends on: connections, sizes, transforms and values of parameters."""
    places = {id(target): (k, n) for k, call in enumerate(calls) for n, target in enumerate(call.targets)}
    order = {id(handle): -1 - k for k, handle in enumerate(external_inputs(calls))}
    wiring = tuple(
        (call.module, tuple(places.get(id(handle), order.get(id(handle))) for handle in call.inputs)) for call in calls
    )
    return wiring, experiment.dt, tuple(_state(module) for module in _modules(calls))


def _state(module: Any) -> Any:
    if isinstance(module, Synapse):
        return (
            id(module.weight),  # the module that was read keeps it alive
            module.linear(),
            module.receptor,
            module.uses_hardware_weights,
            module.lsb_per_unit(),
            str(module.chip_coordinate),
            str(module.execution_instance),
            module.plasticity_rule,
        )
    if isinstance(module, AELIF):
        values = (module.plain_value(name) for name in module._computed_names())
        own = tuple(value.tolist() if isinstance(value, Tensor) else value for value in values)
        places = (
            str(module.placement_constraint),
            circuits_per_neuron(module.neuron_structure),
            str(module.chip_coordinate),
            str(module.execution_instance),
        )
        flags = tuple(module._flags().values())
        return (*(_frozen(value) for value in own), *flags, module.method, module._alpha(), *places)
    return module.training


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
