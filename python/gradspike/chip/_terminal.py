"""The report as text: aligned tables and bars, coloured where a terminal reads it."""

import os
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, TextIO, Tuple

_BAR = 20  # characters
_LEVELS = " ▁▂▃▄▅▆▇█"
_ASCII_LEVELS = " .:-=+*%#"
_HISTOGRAM = 32  # bins
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_STATES = {"nearest": "green", "other units": "yellow", "unreachable": "red"}  # of a parameter to be calibrated
_VERDICTS = {"fits": "green", "fits with losses": "yellow", "does not fit": "red"}

Row = Sequence[str]


@dataclass(frozen=True)
class _Style:
    colour: bool = False
    unicode: bool = False

    def paint(self, text: str, *names: str) -> str:
        if not self.colour:
            return text
        return f"\x1b[{';'.join(_CODES[name] for name in names)}m{text}\x1b[0m"

    def bar(self, used: int, limit: int) -> str:
        share = min(1.0, used / limit) if limit > 0 else 0.0
        filled = min(_BAR, -(-used * _BAR // limit)) if limit > 0 else 0
        full, empty = ("█", "░") if self.unicode else ("#", ".")
        name = "red" if used > limit else ("yellow" if share > 0.9 else "green")
        return self.paint(full * filled, name) + self.paint(empty * (_BAR - filled), "dim")


def render_for(data: Dict[str, Any], stream: Any) -> str:
    """The report for a stream: colours where it is a terminal and NO_COLOR is unset, blocks if it can encode them.

    NO_COLOR is the convention of no-color.org: any text in it turns colours off.
    """
    terminal = bool(getattr(stream, "isatty", lambda: False)())
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return render(data, colour=colour, unicode=_takes_blocks(stream))


def _takes_blocks(stream: "TextIO") -> bool:
    try:
        "█░▁".encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def render(data: Dict[str, Any], *, colour: bool = False, unicode: bool = False) -> str:
    """The report as text; ASCII alone, also in names, where `unicode` is not set."""
    style = _Style(colour, unicode)
    sections = [
        _verdict(data, style),
        _section("misfits", _misfits(data, style), style),
        _section("resources", _resources(data, style), style),
        _section("weights", _weights(data, style), style),
        _section("time and units", _time(data), style),
        _section("calibration", _calibration(data["calibration"], style), style),
        _section("approximations", [f"  {text}" for text in approximations(data)], style),
        _section("check run", _check_run(data["check_run"], style), style),
        _section("since the last deployment", _since(data["since"]), style),
        _section("provenance", _pairs(data["provenance"]), style),
    ]
    text = "\n\n".join(section for section in sections if section) + "\n"
    if unicode:
        return text
    for sign, replacement in (("µ", "u"), ("±", "+-")):
        text = text.replace(sign, replacement)
    return text.encode("ascii", "backslashreplace").decode()


def clean(text: Any) -> str:
    """A name of a user's model without the characters that a terminal would obey."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "?", str(text))


def table(rows: Sequence[Row], right: Sequence[int] = ()) -> List[str]:
    """Rows as lines of aligned columns; those whose indices are in `right` are set flush right."""
    if not rows:
        return []
    widths = [max(len(_visible(row[k])) for row in rows) for k in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = []
        for k, cell in enumerate(row):
            pad = " " * (widths[k] - len(_visible(cell)))
            cells.append(pad + cell if k in right else cell + pad)
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines


def _visible(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _section(title: str, lines: Sequence[str], style: _Style) -> str:
    return "\n".join([style.paint(title, "bold"), *lines]) if lines else ""


def _verdict(data: Dict[str, Any], style: _Style) -> str:
    chips, runs = data["chips"], data["runs_per_sample"]
    verdict = style.paint(data["verdict"], "bold", _VERDICTS.get(data["verdict"], "bold"))
    effort = "1 chip, 1 run per sample" if chips == 1 else f"{chips} chips, or one chip and {runs} runs per sample"
    return f'network "{clean(data["network"])}" {verdict}: target {clean(data["target"])}, {effort}'


def _misfits(data: Dict[str, Any], style: _Style) -> List[str]:
    if not data["misfits"]:
        return []
    rows: List[Row] = [("layer", "quantity", "needed", "limit", "over")]
    for m in data["misfits"]:
        over = style.paint(f"{m['need'] - m['limit']:g}", "red")
        rows.append((clean(m["layer"]) or "(network)", clean(m["quantity"]), f"{m['need']:g}", f"{m['limit']:g}", over))
    lines = table(rows, right=(2, 3, 4))
    for k, m in enumerate(data["misfits"]):
        lines.insert(2 * k + 2, f"    {clean(m['remedy'])}")
    return lines


def _resources(data: Dict[str, Any], style: _Style) -> List[str]:
    rows = [
        (
            clean(r["layer"]) or "(chip)", clean(r["quantity"]), f"{r['used']}", "/", f"{r['limit']}",
            style.bar(r["used"], r["limit"]),
        )
        for r in data["resources"]
    ]  # fmt: skip
    return table(rows, right=(2, 4))


def _weights(data: Dict[str, Any], style: _Style) -> List[str]:
    if not data["projections"]:
        return []
    rows: List[Row] = [
        ("projection", "scale", "bounds", "count", "clipped", "to zero", "rms error [LSB]", "integers, low to high")
    ]
    for name, p in data["projections"].items():
        losses = data["weights"].get(name)
        count = losses["count"] if losses else p["in_features"] * p["out_features"]
        bounds = f"{p['min_weight']}..{p['max_weight']}"
        lost = _losses(losses, style) if losses else ("-", "-", "-")
        rows.append((clean(name), f"{p['scale']:.6g}", bounds, f"{count}", *lost, _spark(p["histogram"], style)))
    return table(rows, right=(1, 2, 3, 4, 5, 6))


def _losses(losses: Dict[str, Any], style: _Style) -> List[str]:
    return [style.paint(text, "yellow") if notable else text for text, notable in losses_texts(losses)]


def losses_texts(losses: Dict[str, Any]) -> List[Tuple[str, bool]]:
    """Weights that are clipped, that become zero, and the rounding error, each with whether it is worth a mark."""
    shares = [losses[kind] / max(losses["count"], 1) for kind in ("clipped", "rounded_to_zero")]
    marked = [(f"{100.0 * share:.2f} %", share > 0.05) for share in shares]
    return [*marked, (f"{losses['rms_rounding_error']:.4f}", False)]


def _spark(histogram: Optional[Dict[str, Any]], style: _Style) -> str:
    if histogram is None:
        return ""
    counts, levels = histogram["counts"], _LEVELS if style.unicode else _ASCII_LEVELS
    width = -(-len(counts) // _HISTOGRAM)
    bins = [sum(counts[k : k + width]) for k in range(0, len(counts), width)]
    top = max([*bins, 1])
    bars = "".join(levels[-(-count * (len(levels) - 1) // top)] for count in bins)
    return f"{histogram['first']} |{bars}| {histogram['first'] + len(counts) - 1}"


def _time(data: Dict[str, Any]) -> List[str]:
    time = data["time"]
    lines = [f"  {step_text(time)}"]
    rows: List[Row] = [("population", "neurons", "tau_mem", "tau_syn", "refractory", "threshold", "leak", "reset")]
    for name, p in time["populations"].items():
        rows.append((clean(name), f"{p['size']} {p['kind'].upper()}", *parameter_texts(p)))
    lines += table(rows, right=(1, 2, 3, 4, 5, 6, 7))
    return lines + _pairs(data["conventions"])


def step_text(time: Dict[str, Any]) -> str:
    """Length of a time step, and of a sample where it is known."""
    length = f", {time['steps']} steps = {seconds(time['duration'])}" if time["steps"] else ""
    return f"step {seconds(time['dt'])}{length}"


def parameter_texts(population: Dict[str, Any]) -> List[str]:
    """Time constants and refractory time; threshold, leak and reset potential."""
    times = [span(population.get(key), seconds) for key in ("tau_mem", "tau_syn", "refractory_time")]
    return times + [span(population.get(key), lambda value: f"{value:g}") for key in ("threshold", "leak", "reset")]


def _calibration(calibration: Dict[str, Any], style: _Style) -> List[str]:
    entries = calibration["parameters"]
    if not entries:
        return []
    rows: List[Row] = [("population", "parameter", "wanted", "can be set to", "neurons outside", "")]
    for entry in entries:
        state = entry["state"] if entry["state"] == "reached" else style.paint(entry["state"], _STATES[entry["state"]])
        outside = f"{entry['outside']} of {entry['neurons']}"
        rows.append((clean(entry["population"]), entry["parameter"], *calibration_texts(entry), outside, state))
    lines = table(rows, right=(2, 3, 4))
    lines += [style.paint(f"  warning: {text}", "yellow") for text in calibration_warnings(calibration)]
    return [*lines, f"  {calibration_basis(calibration)}"]


def calibration_texts(entry: Dict[str, Any]) -> Tuple[str, str]:
    """What the neurons of a population ask for, and what can be set."""
    write = seconds if entry["unit"] == "s" else lambda value: f"{value:g}"
    unit = "" if entry["unit"] == "s" else f" {entry['unit']}"
    return span(entry["wanted"], write) + unit, span([entry["minimum"], entry["maximum"]], write) + unit


def calibration_warnings(calibration: Dict[str, Any]) -> List[str]:
    """What is out of range, but not beyond every calibration."""
    entries = [entry for entry in calibration["parameters"] if entry["state"] == "other units"]
    return [f"{clean(entry['population'])}: {entry['remark']}" for entry in entries]


def calibration_basis(calibration: Dict[str, Any]) -> str:
    """How potentials were counted, and where the ranges are from."""
    return (
        f"{calibration['zero_lsb']:g} LSB at membrane 0, {calibration['lsb_per_unit']:g} LSB per model unit; "
        f"{calibration['source']}"
    )


def _since(since: Optional[Dict[str, Any]]) -> List[str]:
    if since is None:
        return []
    rows: List[Row] = [("what", "layer", "before", "now"), *map(change_texts, since["changes"])]
    return table(rows) if since["changes"] else [f"  nothing changed: {clean(since['target'])}"]


def change_texts(change: Dict[str, str]) -> Tuple[str, str, str, str]:
    """What changed, of which layer, before and now."""
    layer = clean(change["layer"]) or "(network)"
    return change["what"], layer, clean(change["before"]), clean(change["after"])


def seconds(value: Optional[float]) -> str:
    """A time with the unit that keeps it short."""
    if value is None:
        return "infinite"
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if abs(value) * factor >= 1.0:
            return f"{value * factor:.4g} {unit}"
    return "0 s" if value == 0.0 else f"{value * 1e9:.4g} ns"


def span(values: Optional[Sequence[Optional[float]]], write: Any) -> str:
    """Smallest and largest value, or the one that all neurons have; "-" where there is none."""
    if values is None:
        return "-"
    texts = ["infinite" if value is None else write(value) for value in values]
    return texts[0] if texts[0] == texts[1] else f"{texts[0]}..{texts[1]}"


def _pairs(pairs: Dict[str, str]) -> List[str]:
    return table([(clean(name), clean(value)) for name, value in pairs.items()])


def _check_run(run: Optional[Dict[str, Any]], style: _Style) -> List[str]:
    if run is None:
        return []
    names = [name for name, kind in run["layers"].items() if kind == "lif"]
    rows: List[Row] = [("", "runs", "accuracy", *(f"{clean(name)} [spikes/neuron/step]" for name in names))]
    for variant in run["variants"]:
        rates = [rate_text(variant["layers"].get(name), style.paint) for name in names]
        label = clean(f"{variant['name']} ({target_of(variant)})")
        rows.append((label, f"{len(variant['seeds']) or 1}", spread(variant["accuracy"], 3), *rates))
    lines = [f"  {run['samples']} samples of {run['steps']} steps"]
    lines += table(rows, right=range(1, 3 + len(names)))
    lines += ["", *_pair_table(run)]
    lines += [f"  {text}" for text in chip_times(run)]
    lines += [f"  {clean(name)} did not run: {clean(reason)}" for name, reason in run["skipped"].items()]
    return lines + [style.paint(f"  warning: {clean(text)}", "yellow") for text in run["warnings"]]


def approximations(data: Dict[str, Any]) -> List[str]:
    """Approximations of the deployment, and what the targets of a check run leave out."""
    variants = [] if data["check_run"] is None else data["check_run"]["variants"]
    left_out = [f"{v['name']} does not model {', '.join(v['not_modelled'])}" for v in variants if v["not_modelled"]]
    return [clean(text) for text in [*data["approximations"], *left_out]]


def chip_times(run: Dict[str, Any]) -> List[str]:
    """How long a run takes on a chip, by variant."""
    timed = [(v["name"], v["timing"]["chip"]) for v in run["variants"] if "chip" in v["timing"]]
    return [clean(f"{name}: a run takes {seconds(value)} on the chip") for name, value in timed]


def target_of(variant: Dict[str, Any]) -> str:
    """The target of a variant, with all its seeds."""
    seeds = variant["seeds"]
    return re.sub(r"seed=\S+", f"seeds {seeds[0]}..{seeds[-1]}", variant["target"]) if seeds else variant["target"]


def _pair_table(run: Dict[str, Any]) -> List[str]:
    rows: List[Row] = [("differs", "population", "first step", "values that differ", "rate change", "correlation")]
    for pair in run["pairs"]:
        for name, layer in pair["layers"].items():
            rows.append((clean(f"{pair['first']} - {pair['second']}"), clean(name), *difference_texts(layer)))
    return table(rows, right=(2, 3, 4, 5)) if len(rows) > 1 else []


def difference_texts(layer: Dict[str, Any]) -> Tuple[str, str, str, str]:
    """First differing step, spikes that differ, change of the rate and correlation of spike counts, as text."""
    step = layer["first_differing_step"]
    change, correlation = layer["rate_change"], layer["count_correlation"]
    return (
        "-" if layer["differing"] is None else ("never" if step is None else f"{step}"),
        "-" if layer["differing"] is None else f"{layer['differing']} of {layer['values']}",
        f"{100.0 * change:+.2f} %" if change is not None else "-",
        f"{correlation:.4f}" if correlation is not None else "-",
    )


def rate_text(layer: Optional[Dict[str, Any]], paint: Any = lambda text, *names: text) -> str:
    """Rate of a layer with its spread, and whether it is silent or saturated."""
    if layer is None or layer["rate"] is None:
        return "-"
    text = spread(layer["rate"], 4)
    return text if layer["state"] == "active" else paint(f"{text} {layer['state']}", "yellow")


def spread(value: Optional[Dict[str, Any]], digits: int) -> str:
    """Mean, with the standard deviation over runs where there are several."""
    if value is None:
        return "-"
    text = f"{value['mean']:.{digits}f}"
    return text if value["spread"] is None else f"{text} ± {value['spread']:.{digits}f}"
