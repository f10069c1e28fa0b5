"""From a model to a chip: read, check, map, deploy.

`read` finds every keyed operator of a model and registers its projections and populations under the name of the
network; the other verbs read by themselves. Integers are always taken from the present parameters. A deployed network
runs on a backend, by default the ideal emulator, whose spikes and membranes are those of the training operators.

Example:
    >>> import gradspike, torch
    >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20, name="hidden"), gradspike.nn.LIF(20, name="hidden"))
    >>> deployed = gradspike.chip.deploy(model)
    >>> result = deployed((torch.rand(38, 1, 5) < 0.1).float())
    >>> result.target
    'emulator ideal'
"""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union
from typing import Mapping as MappingType

import torch
from torch import Tensor

from gradspike import _backends, _reading
from gradspike._backends import BackendError, attach, backends, detach, health

__all__ = [
    "BackendError",
    "Deployed",
    "InTheLoop",
    "Mapping",
    "Network",
    "Report",
    "Result",
    "attach",
    "backends",
    "check",
    "clear",
    "deploy",
    "detach",
    "health",
    "in_the_loop",
    "load_network",
    "map",
    "population",
    "presets",
    "projection",
    "read",
    "registered",
]

Model = Union[torch.nn.Module, Callable[..., Any], "Network"]
Example = Union[Tensor, Sequence[Tensor], None]

_DEFAULT_TARGET = "emulator ideal"


class Report:
    """Whether a network fits the chip, what it uses and what is lost. `print` gives tables.

    Attributes:
        text: The tables.
        data: Everything as a dictionary, the machine form of the same report.
    """

    def __init__(self, text: str, data: Dict[str, Any]) -> None:
        self.text = text
        self.data = data

    @property
    def verdict(self) -> str:
        """One of "fits", "fits with losses" and "does not fit"."""
        return str(self.data["verdict"]).replace("_", " ")

    @property
    def fits(self) -> bool:
        """Whether the network can be put on one chip."""
        return self.verdict != "does not fit"

    @property
    def misfits(self) -> List[Dict[str, Any]]:
        """Every limit that the network exceeds: layer, quantity, need, limit, remedy."""
        return list(self.data["misfits"])

    def to_json(self) -> str:
        """The machine form."""
        return json.dumps(self.data, sort_keys=True)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Report({self.verdict!r}, misfits={len(self.misfits)})"


class Mapping:
    """Placement and routing of a network on one chip. `print` gives tables, `data` the numbers."""

    def __init__(self, text: str, data: Dict[str, Any]) -> None:
        self.text = text
        self.data = data

    def to_json(self) -> str:
        """Canonical JSON, format "gradspike.mapping"."""
        return json.dumps(self.data, sort_keys=True, separators=(",", ":"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __str__(self) -> str:
        return self.text


@dataclass
class Result:
    """What a run gave.

    Attributes:
        outputs: What the model returns, host code before and after the network included; None for a network file.
        spikes: Spikes of each firing population, `[time, batch, neuron]`, float32 counts.
        membrane: Membranes that were recorded, `[time, batch, neuron]`: always those of leaky integrators. From a chip
            they are CADC samples, interpolated onto the time steps, in model units.
        lost: Events that were dropped, spikes that were not recorded and what was clipped, by kind.
        counts: Events sent to the chip, spikes on the chip and synapses that responded.
        target: What ran, such as "emulator ideal" or "emulator analog preset=calibrated seed=3".
        report: The report of the deployment.
        cadc: The samples behind each membrane, int16 `[sample, batch, neuron]` [LSB], and "times" [s]; empty where the
            target has no converter.
        madc: Samples of the neuron that was asked for, int16 `[sample, batch]` [LSB], and "times" [s].
        timing: Seconds, such as "chip": what the run takes on a chip.
        constants: What the target ran with, by name.
        not_modelled: What an emulator leaves out, one phrase each.
    """

    outputs: Any
    spikes: Dict[str, Tensor]
    membrane: Dict[str, Tensor]
    lost: Dict[str, int]
    counts: Dict[str, int]
    target: str
    report: Optional[Report] = field(default=None, repr=False)
    cadc: Dict[str, Tensor] = field(default_factory=dict, repr=False)
    madc: Dict[str, Tensor] = field(default_factory=dict, repr=False)
    timing: Dict[str, float] = field(default_factory=dict)
    constants: Dict[str, float] = field(default_factory=dict, repr=False)
    not_modelled: List[str] = field(default_factory=list, repr=False)

    def __str__(self) -> str:
        text = self.target
        if self.not_modelled:
            text += "; not modelled: " + ", ".join(self.not_modelled)
        lost = {kind: count for kind, count in self.lost.items() if count}
        return text + (f"; lost: {lost}" if lost else "")


class Network:
    """A network that was read: the handle for checking, mapping, deploying and saving.

    It refers to the parameters of the model it was read from, so that integers are those of now. When a network of the
    same name is read again, older handles stay valid for looking things up and say that they are stale.
    """

    def __init__(self, handle: Any, warnings: Sequence[str] = ()) -> None:
        self._handle = handle
        self.warnings: List[str] = [*warnings, *handle.warnings()]

    @property
    def name(self) -> str:
        """Name of the network: the first part of its registry keys."""
        return str(self.description["name"])

    @property
    def description(self) -> Dict[str, Any]:
        """The neutral description: inputs, populations, projections, model card; no weights."""
        result: Dict[str, Any] = json.loads(self._handle.description())
        return result

    @property
    def is_stale(self) -> bool:
        """True where a network of this name was read later, or the registry was cleared."""
        return bool(self._handle.is_stale())

    def weights(self) -> Dict[str, Tensor]:
        """Present model weights by projection, float, `[out_features, in_features]`."""
        return dict(_reading.call(self._handle.float_weights))

    def integers(self) -> Dict[str, Tensor]:
        """Present hardware weights by projection, int16 [LSB]. Raises where a weight is NaN."""
        return dict(_reading.call(self._handle.integers))

    def records(self) -> Dict[str, bytes]:
        """The integers as they are stored: one binary record with its hash per projection."""
        return {name: bytes(record.tolist()) for name, record in _reading.call(self._handle.records).items()}

    def network_file(self) -> str:
        """The chip part alone, as JSON: description and integers."""
        return str(_reading.call(self._handle.network_file))

    def check(self, target: str = _DEFAULT_TARGET) -> Report:
        """Report for one chip; see `gradspike.chip.check`."""
        _reading.require_type(target, str, "check: target")
        if not target.strip():
            raise ValueError(f"check: target must name a backend, such as {_DEFAULT_TARGET!r}, got {target!r}")
        _backends.call(torch.classes.gradspike.Registry().require_backend, target.strip())
        return self._report(target)

    def _report(self, target: str) -> Report:
        text = _reading.call(self._handle.report_text, target)
        return Report(text, json.loads(_reading.call(self._handle.report, target)))

    def map(self) -> Mapping:
        """Placement and routing; made once, independent of the weights. Raises with every misfit where none exists."""
        text = _reading.call(self._handle.map_text)
        return Mapping(text, json.loads(_reading.call(self._handle.map)))

    def deploy(
        self,
        target: Optional[str] = None,
        preset: str = "ideal",
        seed: int = 0,
        constants: Optional[Dict[str, float]] = None,
    ) -> "Deployed":
        """See `gradspike.chip.deploy`."""
        _reading.require_type(target or "", str, "deploy: target")
        _reading.require_type(preset, str, "deploy: preset")
        _reading.require_type(seed, int, "deploy: seed")
        _require_64_bits(seed, "deploy: seed")
        changed = {str(name): float(value) for name, value in (constants or {}).items()}
        return Deployed(self, _backends.call(self._handle.compile, target or "", preset, seed, changed))

    def run_model(self, *inputs: Tensor) -> Result:
        """Runs the operators of the model on the CPU and records every trace of every population."""
        outputs, seen = _reading.call(self._handle.run_model, _reading.tensor_list(inputs, "input"))
        return _result(outputs, seen, None, "cpu")

    def __repr__(self) -> str:
        description = self.description
        populations = ", ".join(f"{p['name']}[{p['size']}]" for p in description["populations"])
        return f"Network({description['name']!r}: {populations})"


class Deployed:
    """A network on a backend. Call it with the inputs of the model; it gives a `Result`.

    It stays what it is where the network is deployed again: with other weights, on another backend.
    """

    def __init__(self, network: Network, program: Any) -> None:
        self.network = network
        self._program = program
        self.target: str = program.target()

    @cached_property
    def report(self) -> Report:
        """The report of the deployment."""
        return self.network._report(self.target)

    @property
    def changed(self) -> bool:
        """Whether the weights differ from those that the backend holds: deploy again to upload them."""
        return bool(_reading.call(self._program.changed))

    def __call__(
        self,
        *inputs: Tensor,
        membrane: Union[str, Sequence[str]] = (),
        madc: Optional[Tuple[str, int]] = None,
        seed: int = 0,
        inter_batch_wait: float = 0.0,
    ) -> Result:
        """Runs the inputs of the model.

        Args:
            *inputs: What the model takes; spikes `[time, batch, neuron]`, whole numbers in 0..127.
            membrane: Population, or populations, whose membranes are recorded beside those of leaky integrators; "*"
                for all.
            madc: Population and neuron whose membrane the fast converter records.
            seed: Seed of this run: what differs from trial to trial. That of the chip is given to `deploy`.
            inter_batch_wait: Shortest time from the start of one batch entry to that of the next [s].

        Raises:
            RuntimeError: a spike is no whole number in 0..127 (names step, batch entry, neuron and value), or the
                network was read again since.
            BackendError: the backend failed; `partial` of it is the `Result` of the batch entries that are complete.
        """
        tensors = _reading.tensor_list(inputs, "input")
        _reading.require_type(seed, int, "seed")
        _require_64_bits(seed, "seed")
        population, neuron = madc or ("", 0)
        options = {
            "membrane": [membrane] if isinstance(membrane, str) else list(membrane),
            "madc_population": population,
            "madc_neuron": neuron,
            "seed": seed,
            "inter_batch_wait": float(inter_batch_wait),
        }
        outputs, seen, about = _backends.call(self._program.run, tensors, json.dumps(options), result=self._partial)
        return _result(outputs, seen, self, **json.loads(about))

    def _partial(self, seen: MappingType[str, Tensor], about: str) -> Result:
        return _result(None, seen, self, **json.loads(about))

    def __repr__(self) -> str:
        return f"Deployed({self.network!r}, target={self.target!r})"


def _require_64_bits(value: int, what: str) -> None:
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{what} must have 64 bits, -2**63..2**63 - 1, got {value}")


def _result(
    outputs: Any, seen: MappingType[str, Tensor], deployed: Optional[Deployed], target: str, **about: Any
) -> Result:
    groups: Dict[str, Dict[str, Tensor]] = {name: {} for name in ("spikes", "membrane", "lost", "count")}
    samples: Dict[str, Any] = {"cadc": {}, "madc": {}}
    for name, tensor in seen.items():
        group, _, key = name.partition("/")
        if group == "times":
            samples[key]["times"] = tensor
        else:
            (samples if group in samples else groups)[group][key] = tensor
    return Result(
        outputs=outputs,
        spikes=groups["spikes"],
        membrane=groups["membrane"],
        lost={name: int(tensor) for name, tensor in groups["lost"].items()},
        counts={name: int(tensor) for name, tensor in groups["count"].items()},
        target=target,
        report=None if deployed is None else deployed.report,
        **samples,
        **about,
    )


def read(
    model: Model,
    example: Example = None,
    network: Optional[str] = None,
    *,
    projections: Optional[Dict[str, Dict[str, Any]]] = None,
    card: Optional[Dict[str, Any]] = None,
) -> Network:
    """Reads a model or function and registers its projections and populations.

    Only operators on a path to an output count. Between projections and populations there may be sums of projections,
    concatenation, slicing, indexing and repeating of neurons, and dropout (the copy that is read is in evaluation
    mode); before and after the network any code. Unnamed modules take the path by which the model holds them.

    Args:
        model: A module, also compiled, wrapped by DDP or scripted; or a function of `torch.ops.gradspike` calls, whose
            captured tensors are its parameters.
        example: Input or tuple of inputs. Needed for functions and for modules that cannot be scripted, which are
            traced, and where the size of an input does not follow from the weights.
        network: Name of the network, "network" by default; keys are `<network>/<name>`.
        projections: Wishes by projection name: "receptor" ("signed", "excitatory", "inhibitory"; must agree with the
            bounds), "chip_coordinate", "execution_instance", "plasticity_rule" and "plasticity_period" [s].
        card: Model card: "steps", "encoder", "decoder", "class_names".

    Returns:
        The handle; its `warnings` name keyed operators that reach no output.

    Raises:
        RuntimeError: something between two keyed operators cannot be wired on a chip; the message names the operation
            and its source line.
    """
    if isinstance(model, Network):
        if network is not None or projections is not None or card is not None:
            raise ValueError("read: a Network keeps its name, projections and card: give the model to change them")
        return model
    scripted = _reading.scripted(model, example)
    stored = _reading.stored_options(model)
    options: Dict[str, Any] = {**stored}
    if network is not None or "name" not in options:
        options["name"] = network or "network"
    if projections is not None:
        options["projections"] = projections
    if card is not None:
        options["card"] = card
    return Network(_reading.read_handle(scripted, example, options))


def check(model: Model, example: Example = None, *, chips: int = 1, target: str = _DEFAULT_TARGET) -> Report:
    """Whether a network fits the chip: every misfit at once, what it uses, what its weights lose.

    Takes milliseconds and needs no training. `chips` other than 1 are refused: networks are mapped to one chip.
    `target` is a backend that is there, with its preset.
    """
    if chips != 1:
        raise ValueError(f"check: chips must be 1, networks are mapped to one chip, got {chips}")
    return read(model, example).check(target)


def map(model: Model, example: Example = None) -> Mapping:
    """Placement and routing of a model; see `Network.map`."""
    return read(model, example).map()


def deploy(
    model: Model,
    target: Optional[str] = None,
    preset: str = "ideal",
    seed: int = 0,
    *,
    constants: Optional[Dict[str, float]] = None,
    example: Example = None,
    network: Optional[str] = None,
) -> Deployed:
    """Maps a model and puts it on a backend.

    Args:
        model: As for `read`, or a `Network`.
        target: Name of the backend, "process:COMMAND" or "library:LIBRARY" (see `attach`); default: the environment
            variable GRADSPIKE_BACKEND, else "emulator". A backend that is not there is an error, never another one in
            its place.
        preset: Preset of the backend; those of the emulator: "ideal", the arithmetic of training, and the analog ones
            "noiseless", "calibrated" and "delgrad-2024", see `presets`.
        seed: Seed of the chip: its fixed pattern.
        constants: Constants of the preset that are changed, by name.
        example: As for `read`.
        network: Name of the network.

    Returns:
        The deployed network, to be called with the inputs of the model.

    Raises:
        RuntimeError: the network does not fit (every misfit is named), a weight is NaN, or the backend is unknown.
        BackendError: the backend, a program or a library, is not there or does not take the network.
    """
    return read(model, example, network).deploy(target, preset, seed, constants)


def presets() -> Dict[str, Dict[str, Dict[str, Any]]]:
    """Presets of the emulator: each constant with "value", "unit", "meaning", "source", "minimum" and "maximum".

    Example:
        >>> presets()["delgrad-2024"]["threshold_offset"]["value"]
        0.05
    """
    result: Dict[str, Dict[str, Dict[str, Any]]] = json.loads(torch.classes.gradspike.Registry().emulator_presets())
    return result


def load_network(path: Union[str, Path]) -> Network:
    """Opens a network file (`gradspike.save(..., network="net.json")`): the chip part alone."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    try:
        return Network(torch.classes.gradspike.Network.from_network_file(text))
    except RuntimeError as error:
        raise RuntimeError(f"'{path}': {_reading.sentence(error)}") from None


def projection(key: str) -> Any:
    """Registered projection `<network>/<name>`; raises with the nearest keys where there is none."""
    _reading.require_type(key, str, "projection: key")
    return _reading.call(torch.classes.gradspike.Projection, key)


def population(key: str) -> Any:
    """Registered population `<network>/<name>`; raises with the nearest keys where there is none."""
    _reading.require_type(key, str, "population: key")
    return _reading.call(torch.classes.gradspike.Population, key)


def registered() -> Dict[str, Any]:
    """Everything that this process has registered, as a dictionary."""
    result: Dict[str, Any] = json.loads(torch.classes.gradspike.Registry().json())
    return result


def clear(network: str = "") -> None:
    """Forgets a network, or all of them."""
    torch.classes.gradspike.Registry().clear(network)


from gradspike._in_the_loop import InTheLoop, in_the_loop  # noqa: E402, it uses what stands above
