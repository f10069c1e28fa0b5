"""Pieces of the page that several sections use."""

from html import escape
from typing import Any, Dict, List, Sequence, Tuple

from gradspike.chip._figure_data import usage
from gradspike.chip._terminal import clean


def text(value: Any) -> str:
    """Text of a model or a machine, escaped, without characters that are not to be seen."""
    return escape(clean(value))


def section(key: str, title: str, body: str) -> str:
    """A section with its heading."""
    return f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">{title}</h2>\n{body}\n</section>'


def cards(entries: Sequence[Tuple[str, str, str]]) -> str:
    """Key numbers: name, value and a remark each, not yet escaped."""
    cells = "".join(
        f"<div><dt>{text(name)}</dt><dd><b>{text(value)}</b> <small>{text(remark)}</small></dd></div>"
        for name, value, remark in entries
    )
    return f'<dl class="cards">{cells}</dl>'


def pairs(entries: Dict[str, str], mono: bool = False) -> str:
    """Names and values, not yet escaped."""
    mark = ' class="mono"' if mono else ""
    cells = "".join(f"<dt>{text(name)}</dt><dd{mark}>{text(value)}</dd>" for name, value in entries.items())
    return f'<dl class="pair">{cells}</dl>'


def numbers_table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table; cells are HTML. Columns whose indices are in `numbers` are set flush right."""

    def mark(k: int) -> str:
        return ' class="number"' if k in numbers else ""

    head = "".join(f'<th scope="col"{mark(k)}>{title}</th>' for k, title in enumerate(header))
    lines = []
    for row in rows:
        cells = "".join(f"<td{mark(k)}>{cell}</td>" for k, cell in enumerate(row) if k)
        lines.append(f'<tr><th scope="row">{row[0]}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
        "</div>"
    )


def bars(resources: List[Dict[str, Any]]) -> str:
    """Resources as bars: used of limit."""
    marks = {"fits": "bar", "near": "bar near", "over": "bar over"}
    result = ""
    for r in resources:
        share, state = usage(r)
        width = f"{100.0 * min(share, 1.0):.1f}%"
        result += (
            f'<span class="label">{text(r["quantity"])}</span>'
            f'<span class="{marks[state]}" aria-hidden="true"><i style="width:{width}"></i></span>'
            f'<span class="used">{r["used"]:,} <small>/ {r["limit"]:,}</small></span>'
        )
    return f'<div class="bars">{result}</div>'
