"""Comparison of training and chip, the table, and the files of a Yin-Yang run."""

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Tuple

import torch
from torch import Tensor

import gradspike
from gradspike import chip
from gradspike.examples import yinyang_training as training

__all__ = [
    "Comparison",
    "LayerComparison",
    "Outcome",
    "compare",
    "save_network",
    "table",
    "write_report",
    "write_spikes",
]

CARD = {
    "steps": training.NUM_STEPS,
    "encoder": (
        "channels x, y, 1 - x, 1 - y and a bias; one spike per coordinate c in [0, 1] at step round(2 + 24 c), "
        "bias spike at step 2, steps of 1 us"
    ),
    "decoder": "score of a class is 10 times the largest membrane of its readout neuron; the largest score decides",
    "class_names": ["yin", "yang", "dot"],
}


@dataclass(frozen=True)
class LayerComparison:
    """A population in the training forward pass and on the emulator, over all samples.

    Attributes:
        name: Population.
        values: Neurons times steps times samples.
        spikes: Spikes in the training forward pass; -1 where the population does not fire.
        spikes_differ: Values of the spike trains that differ.
        membranes_differ: Values of the membranes whose bits differ.
    """

    name: str
    values: int
    spikes: int
    spikes_differ: int
    membranes_differ: int

    @property
    def fires(self) -> bool:
        """Whether the population has spikes to compare."""
        return self.spikes >= 0

    @property
    def firing_rate(self) -> float:
        """Spikes per neuron and step."""
        return max(self.spikes, 0) / max(self.values, 1)


@dataclass(frozen=True)
class Comparison:
    """Training forward pass against the saved file on a backend.

    Attributes:
        target: What ran, such as "emulator ideal".
        layers: One entry per population.
        accuracy: Test accuracy of the saved file on the backend.
        lost: Events that the backend dropped and spikes it did not record.
    """

    target: str
    layers: List[LayerComparison]
    accuracy: float
    lost: int

    @property
    def differences(self) -> int:
        """Spikes and membrane values that differ, over all layers."""
        return sum(layer.spikes_differ + layer.membranes_differ for layer in self.layers)


@dataclass(frozen=True)
class Outcome:
    """What a run of the example found.

    Attributes:
        accuracy_float: Test accuracy of the network that was trained with float weights.
        accuracy_rounded: Test accuracy of the same network with its weights made integers after training.
        accuracy_integer: Test accuracy of the network that was trained with integers in the forward pass.
        seconds_float: Wall time of training with float weights.
        seconds_integer: Wall time of training with integers.
        samples: Samples of the test set.
        comparison: Training forward pass against the saved file.
        weights: Statistics by projection.
    """

    accuracy_float: float
    accuracy_rounded: float
    accuracy_integer: float
    seconds_float: float
    seconds_integer: float
    samples: int
    comparison: Comparison
    weights: Dict[str, Dict[str, Any]]


def save_network(network: training.YinYangNetwork, folder: Path, example: Tensor) -> chip.Network:
    """Writes yinyang.pt and net.json."""
    return gradspike.save(
        network, folder / "yinyang.pt", network=folder / "net.json", name="yinyang", example=example, card=CARD
    )


def compare(network: training.YinYangNetwork, archive: Path, data: training.Data) -> Comparison:
    """Runs the test set through the modules that were trained and, from the saved file, on the ideal emulator."""
    spikes, membranes = training_forward(network, data.test_spikes)
    deployed = chip.deploy(gradspike.load(archive), target="emulator", preset="ideal")
    emulated = deployed(data.test_spikes, membrane=["*"])
    layers = [_compare_layer(name, spikes, membranes, emulated) for name in membranes]
    scores = training.accuracy(emulated.outputs, data.test_classes)
    return Comparison(emulated.target, layers, scores, sum(emulated.lost.values()))


def training_forward(network: training.YinYangNetwork, inputs: Tensor) -> Tuple[Dict[str, Tensor], Dict[str, Tensor]]:
    """Spikes and membranes by population, from the modules themselves and with a graph, as in training."""
    hidden = network.hidden.traces(network.hidden_synapse(inputs))
    readout = network.readout(network.readout_synapse(hidden.spikes))
    return {"hidden": hidden.spikes.detach()}, {"hidden": hidden.membrane.detach(), "readout": readout.detach()}


def _compare_layer(
    name: str, spikes: Dict[str, Tensor], membranes: Dict[str, Tensor], emulated: chip.Result
) -> LayerComparison:
    fired = spikes.get(name)
    return LayerComparison(
        name=name,
        values=membranes[name].numel(),
        spikes=-1 if fired is None else int(fired.sum()),
        spikes_differ=0 if fired is None else _count_different(fired, emulated.spikes[name]),
        membranes_differ=_count_different(membranes[name], emulated.membrane[name]),
    )


def _count_different(first: Tensor, second: Tensor) -> int:
    """Values whose bits differ: stricter than `!=`, which takes -0.0 for 0.0 and NaN for unlike itself."""
    if first.shape != second.shape or first.dtype != second.dtype:
        raise RuntimeError(
            f"traces must agree in shape and dtype, got {list(first.shape)} {first.dtype} and {list(second.shape)} "
            f"{second.dtype}"
        )
    return int((first.contiguous().view(torch.int32) != second.contiguous().view(torch.int32)).sum())


def weight_statistics(network: training.YinYangNetwork) -> Dict[str, Dict[str, Any]]:
    """Statistics of both projections by name."""
    synapses = (network.hidden_synapse, network.readout_synapse)
    return {synapse.projection: asdict(synapse.statistics()) for synapse in synapses}


def table(outcome: Outcome) -> str:
    """The table that the example prints."""
    comparison = outcome.comparison
    samples = f"Yin-Yang 5-120-3, {outcome.samples} test samples"
    rows: List[Tuple[str, ...]] = [
        (samples, "network", *(layer.name for layer in comparison.layers)),
        ("accuracy, float weights", f"{outcome.accuracy_float:.3f}"),
        ("accuracy, float weights rounded after training", f"{outcome.accuracy_rounded:.3f}"),
        ("accuracy, trained with hardware integers", f"{outcome.accuracy_integer:.3f}"),
        (f"accuracy, yinyang.pt on {comparison.target}", f"{comparison.accuracy:.3f}"),
        *_comparison_rows(comparison),
        *_weight_rows(outcome.weights, [layer.name for layer in comparison.layers]),
        ("training with float weights [s]", f"{outcome.seconds_float:.1f}"),
        ("training with hardware integers [s]", f"{outcome.seconds_integer:.1f}"),
    ]
    return _aligned(rows, rules=(1, 5, 8))


def _comparison_rows(comparison: Comparison) -> List[Tuple[str, ...]]:
    layers = comparison.layers
    spikes = [layer.spikes_differ for layer in layers]
    membranes = [layer.membranes_differ for layer in layers]
    return [
        ("neuron-steps that spike", "", *(f"{layer.firing_rate:.2%}" if layer.fires else "-" for layer in layers)),
        (
            "spikes that differ, training and emulator",
            f"{sum(spikes)}",
            *(f"{count}" if layer.fires else "-" for layer, count in zip(layers, spikes)),
        ),
        ("membrane values that differ", f"{sum(membranes)}", *(f"{count}" for count in membranes)),
    ]


def _weight_rows(weights: Dict[str, Dict[str, Any]], layers: List[str]) -> List[Tuple[str, ...]]:
    def row(title: str, counts: Dict[str, int]) -> Tuple[str, ...]:
        return (title, f"{sum(counts.values())}", *(f"{counts[name]}" for name in layers))

    clipped = {name: entry["clipped_low"] + entry["clipped_high"] for name, entry in weights.items()}
    return [
        row("weights", {name: entry["total"] for name, entry in weights.items()}),
        row("weights clipped", clipped),
        row("weights rounded to zero", {name: entry["to_zero"] for name, entry in weights.items()}),
    ]


def _aligned(rows: List[Tuple[str, ...]], rules: Tuple[int, ...]) -> str:
    """Rows as text: the first column left, the others right; a rule before the rows of the given indices."""
    columns = max(len(row) for row in rows)
    full = [row + ("",) * (columns - len(row)) for row in rows]
    widths = [max(len(row[column]) for row in full) for column in range(columns)]
    lines = []
    for index, row in enumerate(full):
        if index in rules or index == len(full) - 2:
            lines.append("-" * (sum(widths) + 2 * (columns - 1)))
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def write_report(
    path: Path, outcome: Outcome, settings: training.Settings, histories: Dict[str, Dict[str, List[float]]]
) -> None:
    """Writes everything that the table shows, settings, histories and versions as JSON."""
    version = gradspike.version_info()
    data = {
        "format": "gradspike.example.yinyang",
        "version": 1,
        "settings": asdict(settings),
        "outcome": asdict(outcome),
        "differences": outcome.comparison.differences,
        "history": histories,
        "versions": {
            "gradspike": version.gradspike,
            "torch": version.torch,
            "cpu_isa": version.cpu_isa,
            "python": platform.python_version(),
        },
    }
    path.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_spikes(path: Path, spikes: Tensor) -> None:
    """Writes spikes `[time, batch, neuron]` as CSV lines `step,batch,neuron`, by batch entry, as gradspike-run does."""
    by_batch = spikes.transpose(0, 1).nonzero().tolist()
    lines = ["step,batch,neuron", *(f"{step},{batch},{neuron}" for batch, step, neuron in by_batch)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
