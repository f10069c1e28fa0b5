"""The check run on the page: rates, accuracies and differences of the runs side by side."""

from typing import Any, Dict, List, Optional, Sequence

from gradspike.chip._html_figures import accuracies
from gradspike.chip._html_parts import numbers_table, text
from gradspike.chip._terminal import chip_times, difference_texts, spread, target_of


def body(run: Optional[Dict[str, Any]]) -> str:
    """The section; "" where there was no check run."""
    if run is None:
        return ""
    warnings = "".join(f'<li class="warn">{text(warning)}</li>' for warning in run["warnings"])
    skipped = "".join(f"<li>{text(name)} did not run: {text(why)}</li>" for name, why in run["skipped"].items())
    skipped += "".join(f"<li>{text(remark)}</li>" for remark in chip_times(run))
    notes = f"<ul>{warnings}{skipped}</ul>" if warnings or skipped else ""
    return (
        f"<p>{run['samples']:,} samples of {run['steps']:,} steps, the same for all.</p>{_variants(run)}{notes}"
        f'<div class="grid">{accuracies(run["variants"])}{_rules(run)}</div>'
        f"<h3>where two of them part</h3>{_pairs(run)}"
    )


def _variants(run: Dict[str, Any]) -> str:
    firing = [name for name, kind in run["layers"].items() if kind == "lif"]
    rows: List[Sequence[str]] = []
    for variant in run["variants"]:
        cells = [_rate(variant["layers"][name]) for name in firing]
        runs = f"{len(variant['seeds']) or 1}"
        accuracy = text(spread(variant["accuracy"], 3))
        rows.append((text(variant["name"]), accuracy, *cells, runs, text(target_of(variant))))
    titles = [f"{text(name)}: spikes per neuron and step" for name in firing]
    return numbers_table(("run", "accuracy", *titles, "runs", "target"), rows, numbers=range(1, 3 + len(firing)))


def _rate(layer: Dict[str, Any]) -> str:
    state, silent = layer["state"], layer["silent_neurons"]
    if layer["rate"] is None:
        return "–"
    result = text(spread(layer["rate"], 4))
    if silent:
        result += f'<br><span class="note">{silent:g} neurons silent</span>'
    if layer["saturated_neurons"]:
        result += f'<br><span class="note">{layer["saturated_neurons"]:g} neurons saturated</span>'
    return result if state == "active" else f'{result} <span class="flag warn">{text(state)}</span>'


def _rules(run: Dict[str, Any]) -> str:
    return (
        '<p class="note">A layer is silent below '
        f"{run['silent_below']:g} and saturated above {run['saturated_above']:g} spikes per neuron and step. "
        "float: the weights as they were trained, neither rounded nor clipped. integer: the weights that the chip "
        "stores. ideal: the emulator without analog variation, bit for bit the arithmetic of training. Spreads are "
        "standard deviations over the runs, one chip each.</p>"
    )


def _pairs(run: Dict[str, Any]) -> str:
    rows: List[Sequence[str]] = []
    for pair in run["pairs"]:
        for name, layer in pair["layers"].items():
            what = "spikes" if run["layers"][name] == "lif" else "membrane"
            step, differing, change, correlation = difference_texts(layer)
            title = f"{pair['first']} – {pair['second']}"
            if layer["differing"] == 0:
                step = '<span class="good">never</span>'
            rows.append((text(title), text(name), what, step, differing, change, correlation))
    header = ("runs", "population", "of", "first differing step", "values that differ", "rate change", "correlation")
    return numbers_table(header, rows, numbers=(3, 4, 5, 6))
