"""Figures of the page as SVG: histograms of integers, accuracies of runs."""

from typing import Any, Dict, List, Optional

from gradspike.chip import _figure_data
from gradspike.chip._html_parts import text

_WIDTH, _HEIGHT = 440, 150
_BASE = _HEIGHT - 22  # of the bars; axis numbers below


def histogram(name: str, projection: Dict[str, Any], losses: Optional[Dict[str, Any]]) -> str:
    """Counts of the integers of a projection between its bounds; zero and both bounds are marked."""
    caption = f"<figcaption>{text(name)} <small>{_sentence(projection, losses)}</small></figcaption>"
    if projection["histogram"] is None:
        return f"<figure>{caption}<p>no histogram: a weight is NaN, or there are none</p></figure>"
    low, high = projection["min_weight"], projection["max_weight"]
    bins = _figure_data.bins(projection)
    top = max([bar.weights for bar in bins] + [1])
    step = _WIDTH / max(len(bins), 1)
    rects = ""
    for k, (first, last, count, mark) in enumerate(bins):
        height = 0.0 if count == 0 else max(1.0, (_BASE - 14) * count / top)
        label = f"{first}" if first == last else f"{first} to {last}"
        rects += (
            f'<rect class="{mark}" x="{k * step:.2f}" y="{_BASE - height:.2f}" width="{max(step - 0.7, 0.5):.2f}" '
            f'height="{height:.2f}"><title>{label} LSB: {count}</title></rect>'
        )
    width = bins[0].last - bins[0].first + 1 if bins else 1
    zero = (0 - low) / width * step + step / 2
    axis = f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{_BASE}" y2="{_BASE}"/>'
    ticks = f'<text x="0" y="{_HEIGHT - 7}">{low}</text>' if low < 0 else ""
    ticks += f'<text x="{min(max(zero, 4), _WIDTH - 4):.1f}" y="{_HEIGHT - 7}" text-anchor="middle">0</text>'
    ticks += f'<text x="{_WIDTH}" y="{_HEIGHT - 7}" text-anchor="end">{high} LSB</text>' if high > 0 else ""
    ticks += f'<text x="0" y="10">{top}</text>'
    title = f"histogram of the integers of {text(name)}"
    return (
        f'<figure>{caption}<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">'
        f"{axis}{rects}{ticks}</svg></figure>"
    )


def _sentence(projection: Dict[str, Any], losses: Optional[Dict[str, Any]]) -> str:
    sentence = f"{projection['in_features'] * projection['out_features']:,} weights, scale {projection['scale']:.6g}"
    if losses:
        sentence += f", {losses['clipped']:,} clipped, {losses['rounded_to_zero']:,} rounded to zero"
    return sentence


def accuracies(variants: List[Dict[str, Any]]) -> str:
    """One line per variant, a dot per run, from 0 to 1, with the mean as a stroke."""
    shown = [variant for variant in variants if variant["accuracies"]]
    if not shown:
        return ""
    left, right, row = 104, 44, 26
    height = row * len(shown) + 22
    span = _WIDTH - left - right
    lines = ""
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = left + share * span
        lines += f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 18}"/>'
        lines += f'<text x="{x:.1f}" y="{height - 5}" text-anchor="middle">{share:g}</text>'
    for k, variant in enumerate(shown):
        y = row * k + row / 2 + 2
        mean = variant["accuracy"]["mean"]
        name = str(variant["name"])
        lines += f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{text(name[:15])}</text>'
        lines += "".join(
            f'<circle class="plain" fill-opacity="0.65" cx="{left + value * span:.1f}" cy="{y}" r="4.5">'
            f"<title>{value:.4f}</title></circle>"
            for value in variant["accuracies"]
        )
        lines += f'<text x="{_WIDTH}" y="{y + 4}" text-anchor="end">{mean:.3f}</text>'
    return (
        f'<figure><figcaption>accuracy <small>one dot per run</small></figcaption><svg viewBox="0 0 {_WIDTH} {height}" '
        f'role="img" aria-label="accuracy of each variant">{lines}</svg></figure>'
    )
