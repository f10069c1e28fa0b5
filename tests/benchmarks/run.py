"""Runs the benchmarks, each in a process of its own, and writes the table `results/README.md`.

python tests/benchmarks/run.py [--threads 1 2] [--only yinyang layer memory accuracy]
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

FOLDER = Path(__file__).resolve().parent
NAMES = ("yinyang", "layer", "memory", "accuracy")
TIMED = ("yinyang", "layer")


def commands(names: List[str], threads: List[int]) -> List[List[str]]:
    """Timed benchmarks run for each number of threads; the others do not depend on it and run with the first."""
    result = []
    for name in names:
        for count in threads if name in TIMED else threads[:1]:
            result.append([sys.executable, str(FOLDER / f"bench_{name}.py"), "--threads", str(count)])
    return result


def table() -> str:
    """The Markdown table of all result files."""
    results: List[Dict[str, Any]] = [
        json.loads(path.read_text()) for path in sorted((FOLDER / "results").glob("*.json"))
    ]
    lines = [
        "# Results",
        "",
        "Written by `tests/benchmarks/run.py`. Predictions were made before the first measurement; a measured value "
        "on the wrong side of a target says MISSED. Ratios are those of medians of interleaved samples in one process: "
        "of process time with 1 thread, of wall time with 2. Where the load average exceeded the cores, other programs "
        "ran beside the benchmark: wall times then say little, and with 2 threads nothing.",
        "",
        "| quantity | threads | load, cores | predicted | measured | unit | target | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        load = f"{result['machine']['load_average'][0]:.1f}, {result['machine']['cores']}"
        for row in result["rows"]:
            verdict = {True: "met", False: "MISSED", None: ""}[row.get("met")]
            cells = [row["quantity"], result["threads"], load, f"{row['predicted']:.4g}", f"{row['measured']:.4g}"]
            cells += [row["unit"], row.get("target", ""), verdict]
            lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    lines += ["", *_provenance(results)]
    return "\n".join(lines) + "\n"


def _provenance(results: List[Dict[str, Any]]) -> List[str]:
    lines = []
    for result in results:
        machine, versions = result["machine"], result["versions"]
        software = f"gradspike {versions['gradspike']}, torch {versions['torch']}, Python {versions['python']}"
        lines.append(
            f"- `{result['name']}.json`: `{result['command']}`; {machine['processor']}, {machine['cores']} cores, "
            f"{versions['cpu_isa']}; {software}"
        )
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", choices=(1, 2), default=[1, 2])
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    options = parser.parse_args()
    failed = []
    for command in commands(options.only, options.threads):
        print("$ " + " ".join(command), flush=True)
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(command[1])
    text = table()
    (FOLDER / "results" / "README.md").write_text(text, encoding="utf-8")
    print(text)
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
