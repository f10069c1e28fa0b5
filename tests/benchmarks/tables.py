"""Markdown tables of the result files: `results/summary.md`, and one per benchmark.

python tests/benchmarks/tables.py
"""

import json
from typing import Any, Dict, Iterable, List, Tuple

import measure

COLUMNS = ("1 thread", "2 threads", "GPU")
INTRODUCTION = """Written by `make bench`. `x` is a ratio in one run: time of the baseline over our time, so larger is
better; of peak memory, ours over the baseline's, so smaller is better. Samples are interleaved in one process. With one
thread, times are the least process time; with two, the least wall time; on a GPU, medians of events. Predictions were
written down before the first measurement of a case and stay where they were wrong. MISSED marks a value on the wrong
side of its target. Where the load of the machine exceeded 1, other programs ran beside the benchmark.
"""


def column_of(result: Dict[str, Any]) -> str:
    if result["device"] == "cuda":
        return "GPU"
    return "1 thread" if result["threads"] == 1 else "2 threads"


def merged(results: Iterable[Dict[str, Any]]) -> Dict[Tuple[str, str, str], Dict[str, Any]]:
    """Rows by case, baseline and unit, with the measured values of all columns."""
    rows: Dict[Tuple[str, str, str], Dict[str, Any]] = {}
    for result in results:
        for row in result["rows"]:
            key = (row["case"], row["baseline"], row["unit"])
            entry = rows.setdefault(key, {"predicted": row.get("predicted"), "target": row.get("target", "")})
            value = measure.format_value(row["measured"])
            verdict = {True: " (met)", False: " (MISSED)", None: ""}[row.get("met")]
            entry[column_of(result)] = value + verdict
    return rows


def table(results: List[Dict[str, Any]], only_targets: bool = False) -> List[str]:
    """Lines of one table."""
    columns = [column for column in COLUMNS if any(column_of(result) == column for result in results)]
    lines = [
        "| case | baseline | unit | predicted | " + " | ".join(columns) + " | target |",
        "|" + "---|" * (5 + len(columns)),
    ]
    for (case, baseline, unit), row in merged(results).items():
        if only_targets and not row["target"]:
            continue
        cells = [case, baseline, unit, measure.format_value(row["predicted"])]
        cells += [row.get(column, "") for column in columns] + [row["target"]]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def summary(results: List[Dict[str, Any]]) -> str:
    """All rows that have a target, what was skipped, and where the results come from."""
    met = [row["met"] for result in results for row in result["rows"] if "met" in row]
    skipped = list(dict.fromkeys(reason for result in results for reason in result["skipped"]))
    lines = ["# Benchmarks: targets", "", INTRODUCTION]
    lines += [f"{sum(met)} of {len(met)} targets are met.", "", *table(results, only_targets=True), ""]
    if skipped:
        lines += ["Skipped:", "", *(f"- {reason}" for reason in skipped), ""]
    lines += ["Tables with all rows, also those without a target:", ""]
    for name in names_of(results):
        first = next(result for result in results if result["name"] == name)
        lines.append(f"- [{name}.md]({name}.md): {first['title']}")
    return "\n".join([*lines, "", *provenance(results)]) + "\n"


def names_of(results: List[Dict[str, Any]]) -> List[str]:
    return list(dict.fromkeys(result["name"] for result in results))


def provenance(results: List[Dict[str, Any]]) -> List[str]:
    lines = ["Sources:", ""]
    for result in results:
        machine, versions = result["machine"], result["versions"]
        software = ", ".join(f"{name} {version}" for name, version in versions.items())
        lines.append(
            f"- `{result['command']}`, {result['date']}: {machine.get('gpu', machine['processor'])}, "
            f"{machine['cores']} cores, load {machine['load_average'][0]:.1f}; {software}"
            + (f". {result['note']}" if "note" in result else "")
        )
    return lines


def write_all() -> str:
    """Writes all tables and returns the summary."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(measure.RESULTS.glob("*.json"))]
    for name in names_of(results):
        own = [result for result in results if result["name"] == name]
        lines = [f"# {own[0]['title']}", "", INTRODUCTION, *table(own), ""]
        lines += [f"- skipped {reason}" for reason in dict.fromkeys(r for result in own for r in result["skipped"])]
        text = "\n".join([*lines, "", *provenance(own)]) + "\n"
        (measure.RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    text = summary(results)
    (measure.RESULTS / "summary.md").write_text(text, encoding="utf-8")
    return text


if __name__ == "__main__":
    print(write_all())
