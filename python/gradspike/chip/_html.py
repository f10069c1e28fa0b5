"""The report as one page: the template of `page/`, filled in. Whatever a model names is escaped."""

import base64
import hashlib
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Dict, List, Optional, Sequence, Tuple

from gradspike.chip import _figure_data, _html_check_run
from gradspike.chip._html_figures import histogram
from gradspike.chip._html_parts import bars, cards, numbers_table, pairs, section, text
from gradspike.chip._page_data import chip_json
from gradspike.chip._terminal import (
    approximations,
    calibration_basis,
    calibration_texts,
    calibration_warnings,
    change_texts,
    losses_texts,
    parameter_texts,
    spread,
    step_text,
)

_PAGE = Path(__file__).with_name("page")
_STATE_CLASSES = {"reached": "good", "nearest": "good", "other units": "warn", "unreachable": "bad"}
_VERDICT_CLASSES = {"fits": "fits", "fits with losses": "losses", "does not fit": "misfit"}


def page(data: Dict[str, Any], chip: Optional[Dict[str, Any]]) -> str:
    """The whole page, with style sheet and script inside.

    Args:
        data: `Report.data`.
        chip: "mapping", "description" and "integers" of a network that is placed; None: no map.
    """
    css, template = _read("report.css"), _read("report.html")
    parts = [_read("chip_data.js"), _read("chip_map.js")]
    script = "\n".join(["(() => {", '"use strict";', *parts, "})();"])
    sections = [
        ("misfits", "Misfits", _misfits(data)),
        ("check-run", "Check run", _html_check_run.body(data["check_run"])),
        ("map", "Chip map", _map(chip)),
        ("resources", "Resources", _resources(data)),
        ("weights", "Weights", _weights(data)),
        ("time", "Time and units", _time(data)),
        ("calibration", "Calibration", _calibration(data["calibration"])),
        ("approximations", "Approximations", _approximations(data)),
        ("since", "Since the last deployment", _since(data["since"])),
        ("provenance", "Provenance", pairs(data["provenance"], mono=True)),
    ]
    shown = [part for part in sections if part[2]]
    return Template(template).substitute(
        title=escape(f"{data['network']}: {data['verdict']}"),
        css=css,
        script=script,
        script_hash=_policy_hash(f"\n{script}\n"),
        network=text(data["network"]),
        verdict=escape(data["verdict"]),
        verdict_class=_VERDICT_CLASSES.get(data["verdict"], "misfit"),
        target=text(data["target"]),
        cards=_cards(data),
        navigation=" ".join(f'<a href="#{key}">{title}</a>' for key, title, _ in shown),
        sections="\n".join(section(*part) for part in shown),
        version=text(data["provenance"].get("gradspike", "")),
        footer=f"format {escape(data['format'])}, version {data['version']}",
        chip_data=chip_json(chip),
    )


def _read(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8").strip("\n")


def _policy_hash(script: str) -> str:
    """What the content security policy of the page allows to run: this script and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _cards(data: Dict[str, Any]) -> str:
    chip = {r["quantity"]: r for r in data["resources"] if not r["layer"]}
    entries: List[Tuple[str, str, str]] = []
    for quantity in ("neuron circuits", "synapses"):
        if quantity in chip:
            r = chip[quantity]
            entries.append((quantity, f"{r['used']:,}", f"of {r['limit']:,}"))
    chips, runs = data["chips"], data["runs_per_sample"]
    entries.append(("chips", f"{chips}", "1 run per sample" if chips == 1 else f"or one, and {runs} runs per sample"))
    run = data["check_run"]
    if run is not None and run["variants"]:
        last = run["variants"][-1]
        if last["accuracy"] is not None:
            entries.append((f"accuracy, {last['name']}", spread(last["accuracy"], 3), ""))
    losses = list(data["weights"].values())
    if losses:
        lost = sum(w["clipped"] + w["rounded_to_zero"] for w in losses)
        count = max(sum(w["count"] for w in losses), 1)
        entries.append(("weights clipped or zeroed", f"{100.0 * lost / count:.2f} %", f"{lost:,} of {count:,}"))
    return cards(entries)


def _misfits(data: Dict[str, Any]) -> str:
    if not data["misfits"]:
        return ""
    rows = [
        (
            text(m["layer"] or "network"), text(m["quantity"]), f"{m['need']:,}", f"{m['limit']:,}",
            f'<span class="bad">{m["need"] - m["limit"]:,}</span>', text(m["remedy"]),
        )
        for m in data["misfits"]
    ]  # fmt: skip
    return numbers_table(("layer", "quantity", "needed", "limit", "over", "what to do"), rows, numbers=(2, 3, 4))


def _resources(data: Dict[str, Any]) -> str:
    layers = [r for r in data["resources"] if r["layer"]]
    parts = [r for r in data["resources"] if _figure_data.is_part(r)]
    chip = _figure_data.of_chip(data)
    result = f"<h3>chip</h3>{bars(chip)}" if chip else ""
    for name in dict.fromkeys(r["layer"] for r in layers):
        result += f"<h3>{text(name)}</h3>{bars([r for r in layers if r['layer'] == name])}"
    if parts:
        result += f"<details><summary>rows and drivers of each bus and hemisphere</summary>{bars(parts)}</details>"
    return result


def _weights(data: Dict[str, Any]) -> str:
    if not data["projections"]:
        return ""
    rows, figures = [], ""
    for name, p in data["projections"].items():
        losses = data["weights"].get(name)
        bounds = f"{p['min_weight']} to {p['max_weight']}"
        route = f"{', '.join(p['sources'])} → {p['target']}"
        size = f"{p['in_features']} × {p['out_features']}"
        lost = _losses(losses) if losses else ("–", "–", "–")
        rows.append((text(name), text(route), size, f"{p['scale']:.6g}", bounds, text(p["rounding"]), *lost))
        figures += histogram(name, p, losses)
    header = ("projection", "from → to", "size", "scale", "bounds", "rounding", "clipped", "to zero", "rms error [LSB]")
    key = (
        '<ul class="key"><li><i style="background:var(--bar)"></i>integer weights</li>'
        '<li><i style="background:var(--warn-bar)"></i>0: no synaptic effect</li>'
        '<li><i style="background:var(--bad-bar)"></i>at a bound: clipped weights lie here</li></ul>'
    )
    return numbers_table(header, rows, numbers=(2, 3, 4, 6, 7, 8)) + f'<div class="grid">{figures}</div>{key}'


def _losses(losses: Dict[str, Any]) -> List[str]:
    return [f'<span class="warn">{share}</span>' if notable else share for share, notable in losses_texts(losses)]


def _time(data: Dict[str, Any]) -> str:
    time = data["time"]
    rows: List[Sequence[str]] = []
    for name, p in time["populations"].items():
        rows.append((text(name), p["kind"].upper(), f"{p['size']}", *map(text, parameter_texts(p))))
    header = ("population", "kind", "neurons", "tau_mem", "tau_syn", "refractory", "threshold", "leak", "reset")
    table = numbers_table(header, rows, numbers=range(2, 9))
    return f"<p>{text(step_text(time))}</p>{table}<h3>conventions</h3>{pairs(data['conventions'])}"


def _calibration(calibration: Dict[str, Any]) -> str:
    rows: List[Sequence[str]] = []
    for entry in calibration["parameters"]:
        mark = _STATE_CLASSES[entry["state"]]
        state = f'<span class="{mark}" title="{text(entry["remark"])}">{text(entry["state"])}</span>'
        outside = f"{entry['outside']:,} of {entry['neurons']:,}"
        wanted, range_of = calibration_texts(entry)
        rows.append((text(entry["population"]), text(entry["parameter"]), text(wanted), text(range_of), outside, state))
    if not rows:
        return ""
    header = ("population", "parameter", "wanted", "can be set to", "neurons outside", "state")
    warnings = "".join(f'<li class="warn">{text(warning)}</li>' for warning in calibration_warnings(calibration))
    notes = f"<ul>{warnings}</ul>" if warnings else ""
    basis = f'<p class="note">{text(calibration_basis(calibration))}</p>'
    return numbers_table(header, rows, numbers=(2, 3, 4)) + notes + basis


def _since(since: Optional[Dict[str, Any]]) -> str:
    if since is None:
        return ""
    if not since["changes"]:
        return f"<p>Nothing changed: {text(since['target'])}.</p>"
    rows = [tuple(text(cell) for cell in change_texts(change)) for change in since["changes"]]
    return numbers_table(("what", "layer", "before", "now"), rows)


def _approximations(data: Dict[str, Any]) -> str:
    entries = approximations(data)
    return "<ul>" + "".join(f"<li>{text(entry)}</li>" for entry in entries) + "</ul>" if entries else "<p>none</p>"


def _map(chip: Optional[Dict[str, Any]]) -> str:
    return "<p>There is no placement: the network does not fit.</p>" if chip is None else _read("chip_map.html")
