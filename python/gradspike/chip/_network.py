"""A network that was read, and one that is on a backend."""

import json
from functools import cached_property
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union
from typing import Mapping as MappingType

import torch
from torch import Tensor

from gradspike import _reading
from gradspike._version import __version__
from gradspike.chip import _backends, _since
from gradspike.chip._report import Mapping, Report
from gradspike.chip._report_data import file_hash, report_of, sha256
from gradspike.chip._result import Result, result_of

DEFAULT_TARGET = "emulator ideal"
_AS_MANY_AS_IT_TAKES = 0


def _constant(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"deploy: constant '{name}' must be a number, got {value!r}") from None


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
        return str(self._layers["network"])

    @property
    def description(self) -> Dict[str, Any]:
        """The neutral description: inputs, populations, projections, model card; no weights."""
        result: Dict[str, Any] = json.loads(self._handle.description())
        return result

    @cached_property
    def _layers(self) -> Dict[str, Any]:
        """What a report says of projections and populations, whatever the weights are."""
        result: Dict[str, Any] = json.loads(self._handle.layers())
        return result

    @cached_property
    def _network_hash(self) -> str:
        return sha256(self._handle.description())  # canonical

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

    def check(self, target: str = DEFAULT_TARGET, chips: int = 1) -> Report:
        """Report for that many execution instances; see `gradspike.chip.check`."""
        _reading.require_type(target, str, "check: target")
        _reading.require_type(chips, int, "check: chips")
        if not 1 <= chips < 2**63:
            raise ValueError(f"check: chips must be at least 1, got {chips}")
        if not target.strip():
            raise ValueError(f"check: target must name a backend, such as {DEFAULT_TARGET!r}, got {target!r}")
        _backends.call(torch.classes.gradspike.Registry().require_backend, target.strip())
        return self._report(target, chips)

    def _report(self, target: str, chips: int) -> Report:
        return report_of(self, target, chips)

    @cached_property
    def _mapping_text(self) -> str:
        """What `map` gives, as canonical JSON; "" where the network does not fit. Made once, whatever the weights."""
        try:
            return str(_reading.call(self._handle.map))
        except RuntimeError:
            return ""

    @cached_property
    def _mapping_hash(self) -> str:
        return sha256(self._mapping_text)

    def map(self) -> Mapping:
        """Placement and routing; made once, independent of the weights. Raises with every misfit where none exists.

        A network that is too large for one chip is cut into execution instances; see `Mapping.instances`.
        """
        text = _reading.call(self._handle.map_text)
        return Mapping(
            text,
            json.loads(_reading.call(self._handle.map)),
            lambda: self._report(DEFAULT_TARGET, _AS_MANY_AS_IT_TAKES),
        )

    def use_mapping(self, mapping: Mapping) -> None:
        """Takes a mapping that was stored or routed by hand in the place of the mapper's.

        Raises:
            RuntimeError: the mapping is not one of this network, or breaks a rule of the chip; the message names it.
        """
        _reading.require_type(mapping, Mapping, "use_mapping: mapping")
        _reading.call(self._handle.set_mapping, mapping.to_json())
        for cached in ("_mapping_text", "_mapping_hash"):
            self.__dict__.pop(cached, None)

    def deploy(
        self,
        target: Optional[str] = None,
        preset: str = "ideal",
        seed: int = 0,
        constants: Optional[Dict[str, float]] = None,
        calibration: Optional[str] = None,
    ) -> "Deployed":
        """See `gradspike.chip.deploy`."""
        deployed = self._compiled(target, preset, seed, constants, calibration)
        deployed._previous = _since.note(self._state(deployed))
        return deployed

    def _compiled(
        self,
        target: Optional[str],
        preset: str,
        seed: int = 0,
        constants: Optional[Dict[str, float]] = None,
        calibration: Optional[str] = None,
    ) -> "Deployed":
        """A deployment that no later one is compared with."""
        _reading.require_type(calibration or "", str, "deploy: calibration")
        asked = (target, preset, seed, constants, calibration or "")
        return Deployed(self, self._on_backend(self._handle.compile, "deploy", *asked), file_hash(calibration or ""))

    def _state(self, deployed: "Deployed") -> _since.State:
        """What a later deployment is compared with; refers to neither the model nor the backend."""
        hashes = {"network hash": self._network_hash, "gradspike": __version__}
        if "_mapping_hash" in self.__dict__:  # else not worth the time
            hashes["mapping hash"] = self._mapping_hash
        if deployed._calibration_hash:
            hashes["calibration hash"] = deployed._calibration_hash
        layers = self._layers
        written = dict(deployed._program.written())
        return _since.State(self.name, deployed.target, layers["projections"], layers["time"], written, hashes)

    def _on_backend(
        self,
        method: Callable[..., Any],
        verb: str,
        target: Optional[str],
        preset: str,
        seed: int,
        constants: Optional[Dict[str, float]],
        *further: Any,
    ) -> Any:
        """Calls a method that compiles for a backend; `verb` stands before the errors."""
        _reading.require_type(target or "", str, f"{verb}: target")
        _reading.require_type(preset, str, f"{verb}: preset")
        _reading.require_type(seed, int, f"{verb}: seed")
        require_64_bits(seed, f"{verb}: seed")
        changed = {str(name): _constant(name, value) for name, value in (constants or {}).items()}
        return _backends.call(method, target or "", preset, seed, changed, *further)

    def run_model(self, *inputs: Tensor, device: Optional[str] = None) -> Result:
        """Runs the operators of the model and records every trace of every population.

        Args:
            inputs: Inputs of the model, tensors.
            device: "cpu", "cuda" or "cuda:1": inputs, parameters and constants are copied there for this run. By
                default the run is where the model is.

        Returns:
            A `Result` whose `target` is the device; its traces are on the CPU.

        Raises:
            RuntimeError: This machine lacks the device, or an operator refuses its arguments.
            TypeError: An input is no tensor.
        """
        _reading.require_type(device or "", str, "run_model: device")
        outputs, seen, target = _reading.call(
            self._handle.run_model, _reading.tensor_list(inputs, "input"), device or ""
        )
        return result_of(outputs, seen, None, target)

    def __repr__(self) -> str:
        description = self.description
        populations = ", ".join(f"{p['name']}[{p['size']}]" for p in description["populations"])
        return f"Network({description['name']!r}: {populations})"


class Deployed:
    """A network on a backend. Call it with the inputs of the model; it gives a `Result`.

    It stays what it is where the network is deployed again: with other weights, on another backend.
    """

    def __init__(self, network: Network, program: Any, calibration_hash: str = "") -> None:
        self.network = network
        self._calibration_hash = calibration_hash
        self._program = program
        self._previous: Optional[_since.State] = None
        self.target: str = program.target()

    @cached_property
    def report(self) -> Report:
        """The report of the deployment, with the weights of the moment when it is first asked for.

        Where this process deployed a network of this name before, it says what changed since then.
        """
        report = self.network._report(self.target, _AS_MANY_AS_IT_TAKES)
        if self._calibration_hash:
            report.data["provenance"]["calibration hash"] = self._calibration_hash
        return report if self._previous is None else report._after(self._previous)

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
        require_64_bits(seed, "seed")
        population, neuron = madc or ("", 0)
        options = {
            "membrane": [membrane] if isinstance(membrane, str) else list(membrane),
            "madc_population": population,
            "madc_neuron": neuron,
            "seed": seed,
            "inter_batch_wait": float(inter_batch_wait),
        }
        outputs, seen, about = _backends.call(self._program.run, tensors, json.dumps(options), result=self._partial)
        return result_of(outputs, seen, lambda: self.report, **json.loads(about))

    def _partial(self, seen: MappingType[str, Tensor], about: str) -> Result:
        return result_of(None, seen, lambda: self.report, **json.loads(about))

    def __repr__(self) -> str:
        return f"Deployed({self.network!r}, target={self.target!r})"


def require_64_bits(value: int, what: str) -> None:
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{what} must have 64 bits, -2**63..2**63 - 1, got {value}")
