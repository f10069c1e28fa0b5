"""What a check, a mapping and a run tell."""

import json
import sys
from os import PathLike
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Union

import torch

from gradspike import _reading
from gradspike.chip import _report_file, _since, _terminal


class Report:
    """Whether a network fits the chip, what it uses, what is lost, and how it runs. `print` gives tables.

    Attributes:
        data: Everything as a dictionary of JSON values, format "gradspike.report", version 3; the schema is
            `Report.schema()`.
    """

    def __init__(self, data: Dict[str, Any], chip: Optional[Callable[[], Dict[str, Any]]] = None) -> None:
        self.data = data
        self._chip = chip  # what the map of the page shows, made where a page is written

    @property
    def verdict(self) -> str:
        """One of "fits", "fits with losses" and "does not fit"."""
        return str(self.data["verdict"]).replace("_", " ")

    @property
    def fits(self) -> bool:
        """Whether the network can be put on the chips that were allowed."""
        return self.verdict != "does not fit"

    @property
    def exit_code(self) -> int:
        """0 fits, 1 fits with losses, 2 does not fit: the exit code of the commands."""
        return ["fits", "fits with losses", "does not fit"].index(self.verdict)

    @property
    def chips(self) -> int:
        """Execution instances that it takes: chips side by side, or runs of one chip per sample."""
        return int(self.data["chips"])

    @property
    def misfits(self) -> List[Dict[str, Any]]:
        """Every limit that the network exceeds: layer, quantity, need, limit, remedy."""
        return list(self.data["misfits"])

    @property
    def check_run(self) -> Optional[Dict[str, Any]]:
        """What a run through model and chip found, see `gradspike.chip.report`; None where there was none."""
        result: Optional[Dict[str, Any]] = self.data["check_run"]
        return result

    @property
    def text(self) -> str:
        """The tables, without colours."""
        return _terminal.render(self.data, unicode=True)

    @staticmethod
    def schema() -> Dict[str, Any]:
        """The JSON schema (draft 2020-12) of `data`."""
        return _report_file.schema()

    def compare(self, previous: Union["Report", Dict[str, Any], str, "PathLike[str]"]) -> List[Dict[str, str]]:
        """What changed since an earlier deployment: target, seed, topology, parameters, scales and weights.

        Args:
            previous: A report; or what `to_json` gave, version 2 or 3, as a dictionary, as text or in a file.

        Returns:
            One dictionary per difference: "what" differs, such as "scale" or "weights" (their hash); its "layer", ""
            for the network; its value "before" and "after". Empty where both are the same.

        Raises:
            ValueError: `previous` is no report, or one of version 1, which does not say enough.
            OSError: the file cannot be read.

        Example:
            >>> import gradspike, torch
            >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20, name="in"), gradspike.nn.LIF(20, name="out"))
            >>> before = gradspike.chip.check(model)
            >>> torch.nn.init.ones_(model[0].weight).shape
            torch.Size([20, 5])
            >>> [(change["what"], change["layer"]) for change in gradspike.chip.check(model).compare(before)]
            [('weights', 'in')]
        """
        return _since.changes(_since.state_of(_data_of(previous)), _since.state_of(self.data))

    def since(self, previous: Union["Report", Dict[str, Any], str, "PathLike[str]"]) -> "Report":
        """This report with what changed since an earlier deployment in it; see `compare`."""
        return self._after(_since.state_of(_data_of(previous)))

    def _after(self, previous: _since.State) -> "Report":
        found = _since.changes(previous, _since.state_of(self.data))
        return Report({**self.data, "since": {"target": previous.target, "changes": found}}, self._chip)

    def to_json(self) -> str:
        """The machine form, one line with sorted keys."""
        return json.dumps(self.data, sort_keys=True)

    def to_html(self, path: Union[str, "PathLike[str]", None] = None) -> str:
        """One page with everything: tables, histograms and an interactive map of the chip.

        The page needs no other file and no network, follows the reader's light or dark mode, and prints.

        Args:
            path: File to write, UTF-8; None: none.

        Returns:
            The page.

        Example:
            >>> import gradspike, torch
            >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20), gradspike.nn.LIF(20))
            >>> page = gradspike.chip.check(model).to_html(getfixture("tmp_path") / "report.html")
            >>> page.splitlines()[0]
            '<!doctype html>'
        """
        from gradspike.chip import _html

        page = _html.page(self.data, self._chip() if self._chip is not None else None)
        if path is not None:
            Path(path).write_text(page, encoding="utf-8")
        return page

    def save_html(self, path: Union[str, "PathLike[str]"]) -> None:
        """Writes the page; see `to_html`."""
        self.to_html(path)

    def __getstate__(self) -> Dict[str, Any]:
        return {"data": self.data, "chip": self._chip() if self._chip is not None else None}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.data = state["data"]
        chip = state["chip"]
        self._chip = None if chip is None else lambda: dict(chip)

    def __str__(self) -> str:
        return _terminal.render_for(self.data, sys.stdout)

    def __repr__(self) -> str:
        return f"Report({self.verdict!r}, misfits={len(self.misfits)})"


def _data_of(report: Union[Report, Dict[str, Any], str, "PathLike[str]"]) -> Any:
    return report.data if isinstance(report, Report) else _report_file.read_data(report)


class Mapping:
    """Placement and routing of a network. `print` gives tables, `data` the numbers.

    `data` has the format "gradspike.mapping" for a network on one chip, else "gradspike.partition": for each execution
    instance its mapping and the slices `[population, first neuron, count]` that it holds.
    """

    def __init__(self, text: str, data: Dict[str, Any], report: Optional[Callable[[], Report]] = None) -> None:
        self.text = text
        self.data = data
        self._report = report

    @property
    def report(self) -> Optional[Report]:
        """The report of the network that was mapped; None for a mapping that was made by hand."""
        return None if self._report is None else self._report()

    @property
    def instances(self) -> List[Dict[str, Any]]:
        """The mapping of each execution instance, in the order in which they run."""
        parts = self.data.get("instances")
        return [self.data] if parts is None else [dict(part["mapping"]) for part in parts]

    @classmethod
    def from_json(cls, text: str) -> "Mapping":
        """A mapping that was stored, or routed by hand; `Network.use_mapping` checks it."""
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") not in ("gradspike.mapping", "gradspike.partition"):
            raise ValueError("a mapping must be JSON of the format gradspike.mapping or gradspike.partition")
        return cls(f'mapping of network "{data.get("network")}", from JSON', data)

    def differences(self, other: "Mapping") -> List[str]:
        """What changed from this mapping to another, one sentence each, at most 20 per instance; empty iff equal."""
        if len(self.instances) != len(other.instances):
            return [f"execution instances: {len(self.instances)} and {len(other.instances)}"]
        found = []
        for number, (a, b) in enumerate(zip(self.instances, other.instances)):
            prefix = f"instance {number}: " if len(self.instances) > 1 else ""
            sentences = _reading.call(
                torch.classes.gradspike.Registry().mapping_differences, json.dumps(a), json.dumps(b)
            )
            found += [prefix + sentence for sentence in sentences]
        return found

    def to_json(self) -> str:
        """Canonical JSON."""
        return json.dumps(self.data, sort_keys=True, separators=(",", ":"))

    def __getstate__(self) -> Dict[str, Any]:
        return {"text": self.text, "data": self.data, "_report": None}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __str__(self) -> str:
        return self.text
