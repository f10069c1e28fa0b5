"""Figures of the Yin-Yang example."""

from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import torch

from gradspike import chip, plot
from gradspike.examples import yinyang_training as training

__all__ = ["draw_all"]

CLASS_NAMES = ("yin", "yang", "dot")


def draw_all(
    folder: Path, network: training.YinYangNetwork, data: training.Data, histories: Dict[str, Dict[str, List[float]]]
) -> List[str]:
    """Draws every figure into the folder and gives their names.

    Raises:
        ImportError: matplotlib is missing.
    """
    handle = chip.read(network, network="yinyang")
    sample = first_of_class(data, 1)
    result = handle.run_model(data.test_spikes[:, sample : sample + 1])
    drawings: Dict[str, Callable[[Any], None]] = {
        "learning_curve.png": lambda figure: _draw_learning(figure, histories),
        "raster.png": lambda figure: _draw_rasters(figure, data.test_spikes[:, sample], result.spikes["hidden"]),
        "readout.png": lambda figure: _draw_readout(figure, result.membrane["readout"], data.test_classes[sample]),
        "weights.png": lambda figure: _draw_weights(figure, network),
        "chip_map.png": lambda figure: _draw_chip(figure, handle.map()),
    }
    for name, draw in drawings.items():
        figure = _figure((9.0, 8.0) if name == "chip_map.png" else (9.0, 6.0))
        draw(figure)
        figure.savefig(folder / name)
    return list(drawings)


def first_of_class(data: training.Data, label: int) -> int:
    """Index of the first test sample of a class."""
    return int((data.test_classes == label).nonzero()[0])


def _figure(size: Tuple[float, float]) -> Any:
    """A figure of the Agg backend, made without pyplot: it needs no display."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("matplotlib is not installed: install it with pip install matplotlib") from error
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _draw_learning(figure: Any, histories: Dict[str, Dict[str, List[float]]]) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True)
    epochs = max(len(history["loss"]) for history in histories.values())
    accuracies = {name: history["test accuracy"] for name, history in histories.items()}
    losses = {name: history["loss"] for name, history in histories.items()}
    plot.learning_curve(accuracies, upper, ylabel="test accuracy", title="Yin-Yang 5-120-3: learning curve")
    plot.learning_curve(losses, lower, ylabel="training loss")
    lower.set_xlim(0.5, epochs + 0.5)
    lower.set_ylim(bottom=0.0)
    upper.set_xlabel("")
    lower.get_legend().remove()
    for line in [*upper.lines, *lower.lines]:
        line.set_markersize(3.0)


def _draw_rasters(figure: Any, inputs: torch.Tensor, hidden: torch.Tensor) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 3))
    plot.spike_raster(inputs, upper, title="input spikes of one test sample")
    upper.set_yticks(range(5), ["x", "y", "1 - x", "1 - y", "bias"])
    upper.set_ylabel("channel")
    upper.set_xlabel("")
    active = int((hidden.sum(0) > 0).sum())
    plot.spike_raster(
        hidden, lower, title=f"{int(hidden.sum())} spikes of {active} of the {hidden.shape[-1]} hidden neurons"
    )
    lower.set_ylabel("hidden neuron")


def _draw_readout(figure: Any, membrane: torch.Tensor, label: torch.Tensor) -> None:
    axes = figure.subplots()
    decision = CLASS_NAMES[int(membrane.amax((0, 1)).argmax())]
    title = f"readout of one test sample: class {CLASS_NAMES[int(label)]}, decision {decision}"
    plot.membrane_traces(membrane, axes, decision=True, labels=CLASS_NAMES, title=title)


def _draw_weights(figure: Any, network: training.YinYangNetwork) -> None:
    synapses = (network.hidden_synapse, network.readout_synapse)
    for axes, synapse in zip(figure.subplots(2, 1), synapses):
        title = f"{synapse.projection}: {synapse.in_features} to {synapse.out_features}, scale {synapse.scale:g}"
        plot.weight_histogram(
            synapse.effective_weight(),
            axes,
            scale=float(synapse.scale),
            min_weight=synapse.min_weight,
            max_weight=synapse.max_weight,
            title=title,
        )


def _draw_chip(figure: Any, mapping: chip.Mapping) -> None:
    plot.chip_map(mapping, figure.subplots(), title="Yin-Yang on the chip: neurons and synapse rows")
