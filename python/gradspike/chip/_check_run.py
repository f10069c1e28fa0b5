"""The check run: the same inputs through the model with float weights, with integers, and through emulators."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

from torch import Tensor

from gradspike import _progress, _reading
from gradspike.chip._check_numbers import difference, layer_numbers, mean_and_spread
from gradspike.chip._float_weights import read_with_float_weights
from gradspike.chip._network import Deployed, Network
from gradspike.chip._report import Report
from gradspike.chip._result import Result
from gradspike.chip._verbs import Example, Model, clear, read
from gradspike.transforms import MaxOverTime, SumOverTime

Decoder = Callable[[Any], Tensor]

FLOAT, INTEGER, IDEAL = "float", "integer", "ideal"
SILENT_BELOW = 1e-3
SATURATED_ABOVE = 0.5


def report(
    model: Model,
    inputs: Example,
    labels: Optional[Tensor] = None,
    seeds: int = 5,
    preset: str = "calibrated",
    *,
    target: Optional[str] = None,
    seed: int = 0,
    constants: Optional[Dict[str, float]] = None,
    decoder: Optional[Decoder] = None,
    silent_below: float = SILENT_BELOW,
    saturated_above: float = SATURATED_ABOVE,
    network: Optional[str] = None,
) -> Report:
    """The report of a deployment with a check run: the same inputs through model, emulators and chip, side by side.

    Runs the model on the CPU with float weights and with integers, on the ideal emulator, and on `target` with
    `preset`, once per seed. What cannot run is named in `check_run["skipped"]` with the reason: float weights of a
    network file, emulators for a network that does not fit.

    Args:
        model: As for `gradspike.chip.read`.
        inputs: Input or tuple of inputs of the model, spikes `[time, batch, neuron]`, whole numbers in 0..127.
        labels: Class of each sample, `[batch]`, integers from 0; None: no accuracy.
        seeds: How many chips are tried, at least 1: seeds `seed`, `seed + 1`, ..., each a fixed pattern and a trial.
        preset: Preset of the target, see `gradspike.chip.presets`; "ideal": the ideal emulator alone, where the target
            is the emulator.
        target: As for `gradspike.chip.deploy`.
        seed: First seed.
        constants: Constants of the preset that are changed, by name.
        decoder: From the outputs of the model to scores `[batch, class]`, of which the largest decides. Default:
            outputs of shape `[batch, class]` are scores; of `[time, batch, class]` spikes are counted, and of membranes
            the maximum over time is taken.
        silent_below: A layer with fewer spikes per neuron and step is called silent.
        saturated_above: A layer with more spikes per neuron and step is called saturated.
        network: Name of the network.

    Returns:
        The report for the target; `report.check_run` holds the comparison.

    Raises:
        ValueError: seeds is below 1, there is no sample or step, labels do not fit the batch, or the decoder does not
            give `[batch, class]`.
        RuntimeError: a spike is no whole number in 0..127, or the target, preset or a constant is unknown.

    Example:
        >>> import gradspike, torch
        >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20, name="out"), gradspike.nn.LI(20, name="out"))
        >>> run = report(model, (torch.rand(38, 2, 5) < 0.1).float(), seeds=2).check_run
        >>> [variant["name"] for variant in run["variants"]]
        ['float', 'integer', 'ideal', 'calibrated']
    """
    _reading.require_type(seeds, int, "report: seeds")
    if seeds < 1:
        raise ValueError(f"report: seeds must be at least 1, got {seeds}")
    tensors = _reading.example_list(inputs)
    samples, steps = _sizes(tensors, labels)
    handle = read(model, inputs, network)
    shown = handle.check()
    runs, skipped = _model_runs(model, handle, tensors)
    if handle._mapping_text:
        chip_runs, shown = _chip_runs(handle, tensors, (target, preset, seed, constants), seeds)
        runs.update(chip_runs)
    else:
        skipped.update(dict.fromkeys((IDEAL, preset), "the network does not fit the chip"))
    if seeds > 1 and any(len(results) > 1 for results in runs.values()):
        shown.data["provenance"]["seed"] = f"{seed}..{seed + seeds - 1}"
    labels = None if labels is None else labels.cpu()
    judge = _Judge(labels, decoder, float(silent_below), float(saturated_above), _kinds(handle), seed)
    shown.data["check_run"] = {"samples": samples, "steps": steps, "skipped": skipped, **judge.compare(runs)}
    return shown


def _sizes(inputs: List[Tensor], labels: Optional[Tensor]) -> Tuple[int, int]:
    if not inputs:
        raise ValueError("report: inputs must be a tensor or a tuple of tensors, got none")
    for place, tensor in enumerate(inputs):
        if tensor.dim() != 3:
            raise ValueError(f"report: input {place} must have shape [time, batch, neuron], got {list(tensor.shape)}")
        if tensor.shape[0] == 0 or tensor.shape[1] == 0:
            raise ValueError(
                f"report: input {place} must have at least one step and one sample, got {list(tensor.shape)}"
            )
    steps, samples = inputs[0].shape[:2]
    if labels is not None and not isinstance(labels, Tensor):
        raise TypeError(f"report: labels must be a tensor or None, got {type(labels).__name__}")
    if labels is not None and (labels.dim() != 1 or len(labels) != samples or labels.is_floating_point()):
        raise ValueError(
            f"report: labels must be integers of shape [batch] = [{samples}], got {labels.dtype} {list(labels.shape)}"
        )
    return samples, steps


def _model_runs(model: Model, handle: Network, inputs: List[Tensor]) -> Tuple[Dict[str, List[Result]], Dict[str, str]]:
    """Runs of the model on the CPU, with float weights and with integers, and why one of them is not there."""
    runs: Dict[str, List[Result]] = {}
    skipped: Dict[str, str] = {}
    try:
        floats = read_with_float_weights(model, handle.name, inputs)
    except (RuntimeError, ValueError) as error:
        skipped[FLOAT] = _reading.sentence(error)
    else:
        try:
            runs[FLOAT] = [floats.run_model(*inputs)]
        finally:
            clear(floats.name)
    try:
        runs[INTEGER] = [handle.run_model(*inputs)]
    except RuntimeError as error:
        if not isinstance(model, Network):
            raise
        skipped[INTEGER] = _reading.sentence(error)
    return runs, skipped


def _chip_runs(
    handle: Network, inputs: List[Tensor], options: Tuple[Any, ...], seeds: int
) -> Tuple[Dict[str, Any], Report]:
    """Runs on the ideal emulator and, once per seed, on the target; and the report for the target."""
    target, preset, seed, constants = options
    runs: Dict[str, Any] = {IDEAL: [handle._compiled("emulator", "ideal")(*inputs, membrane="*")]}
    first = handle.deploy(target, preset, seed, constants)
    if first.target == runs[IDEAL][0].target:
        return runs, first.report
    name = preset if first.target.startswith("emulator") else first.target
    runs[name] = []
    for k in _progress.steps(range(seeds), seeds, name):
        deployed: Deployed = first if k == 0 else handle._compiled(target, preset, seed + k, constants)
        runs[name].append(deployed(*inputs, membrane="*", seed=seed + k))
    return runs, first.report


def _kinds(handle: Network) -> Dict[str, str]:
    return {str(p["name"]): str(p["kind"]) for p in handle.description["populations"]}


@dataclass
class _Judge:
    """Turns runs into numbers: rates, accuracy, differences, and layers to be warned of."""

    labels: Optional[Tensor]
    decoder: Optional[Decoder]
    silent_below: float
    saturated_above: float
    kinds: Dict[str, str]
    first_seed: int

    def compare(self, runs: Dict[str, List[Result]]) -> Dict[str, Any]:
        """The part of `check_run` that the runs decide."""
        variants = [self._variant(name, results) for name, results in runs.items()]
        names = list(runs)
        pairs = [
            {"first": a, "second": b, "layers": self._pair(runs[a][0], runs[b][0])}
            for k, a in enumerate(names)
            for b in names[k + 1 :]
        ]
        return {
            "layers": self.kinds,
            "silent_below": self.silent_below,
            "saturated_above": self.saturated_above,
            "variants": variants,
            "pairs": pairs,
            "warnings": [text for variant in variants for text in _warnings(variant)],
        }

    def _variant(self, name: str, results: List[Result]) -> Dict[str, Any]:
        target = results[0].target
        accuracies = [value for value in map(self._accuracy, results) if value is not None]
        lost: Dict[str, int] = {}
        for result in results:
            for kind, count in result.lost.items():
                lost[kind] = lost.get(kind, 0) + count
        limits = self.silent_below, self.saturated_above
        return {
            "name": name,
            "target": target,
            "seeds": [self.first_seed + k for k in range(len(results))] if len(results) > 1 else [],
            "accuracy": mean_and_spread(accuracies),
            "accuracies": accuracies,
            "lost": {kind: count for kind, count in lost.items() if count},
            "not_modelled": list(results[0].not_modelled),
            "timing": {what: float(value) for what, value in results[0].timing.items()},
            "layers": {layer: layer_numbers([r.spikes.get(layer) for r in results], *limits) for layer in self.kinds},
        }

    def _accuracy(self, result: Result) -> Optional[float]:
        if self.labels is None:
            return None
        scores = self._scores(result)
        if scores.dim() != 2 or scores.shape[0] != len(self.labels):
            raise ValueError(
                f"report: decoder must give scores [batch, class] with {len(self.labels)} samples, "
                f"got {list(scores.shape)}"
            )
        return float((scores.argmax(1).cpu() == self.labels).double().mean())

    def _scores(self, result: Result) -> Tensor:
        last = list(self.kinds)[-1]
        fires = self.kinds[last] == "lif"
        outputs = result.outputs
        if outputs is None:  # a network file
            outputs = result.spikes[last] if fires else result.membrane[last]
        if self.decoder is not None:
            return self.decoder(outputs)
        if not isinstance(outputs, Tensor) or outputs.dim() not in (2, 3):
            raise ValueError("report: decoder must be given, the model does not return [batch, class] or traces")
        decoded: Tensor = outputs if outputs.dim() == 2 else (SumOverTime() if fires else MaxOverTime())(outputs)
        return decoded

    def _pair(self, first: Result, second: Result) -> Dict[str, Any]:
        return {
            layer: difference(first.spikes.get(layer), second.spikes.get(layer), True)
            if kind == "lif"
            else difference(first.membrane.get(layer), second.membrane.get(layer), False)
            for layer, kind in self.kinds.items()
        }


def _warnings(variant: Dict[str, Any]) -> List[str]:
    texts = []
    for name, layer in variant["layers"].items():
        if layer["state"] in ("silent", "saturated"):
            rate = layer["rate"]["mean"]
            texts.append(
                f"layer '{name}' is {layer['state']} on {variant['name']}: {rate:.3g} spikes per neuron and step"
            )
    if variant["lost"]:
        texts.append(f"{variant['name']} lost " + ", ".join(f"{n} {kind}" for kind, n in variant["lost"].items()))
    return texts
