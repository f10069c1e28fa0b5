"""What a check and a mapping tell."""

import json
from typing import Any, Dict, List


class Report:
    """Whether a network fits the chip, what it uses and what is lost. `print` gives tables.

    Attributes:
        text: The tables.
        data: Everything as a dictionary, the machine form of the same report.
    """

    def __init__(self, text: str, data: Dict[str, Any]) -> None:
        self.text = text
        self.data = data

    @property
    def verdict(self) -> str:
        """One of "fits", "fits with losses" and "does not fit"."""
        return str(self.data["verdict"]).replace("_", " ")

    @property
    def fits(self) -> bool:
        """Whether the network can be put on the chips that were allowed."""
        return self.verdict != "does not fit"

    @property
    def chips(self) -> int:
        """Execution instances that it takes: chips side by side, or runs of one chip per sample."""
        return int(self.data["chips"])

    @property
    def misfits(self) -> List[Dict[str, Any]]:
        """Every limit that the network exceeds: layer, quantity, need, limit, remedy."""
        return list(self.data["misfits"])

    def to_json(self) -> str:
        """The machine form."""
        return json.dumps(self.data, sort_keys=True)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Report({self.verdict!r}, misfits={len(self.misfits)})"


class Mapping:
    """Placement and routing of a network. `print` gives tables, `data` the numbers.

    `data` has the format "gradspike.mapping" for a network on one chip, else "gradspike.partition": for each execution
    instance its mapping and the slices `[population, first neuron, count]` that it holds.
    """

    def __init__(self, text: str, data: Dict[str, Any]) -> None:
        self.text = text
        self.data = data

    @property
    def instances(self) -> List[Dict[str, Any]]:
        """The mapping of each execution instance, in the order in which they run."""
        parts = self.data.get("instances")
        return [self.data] if parts is None else [dict(part["mapping"]) for part in parts]

    def to_json(self) -> str:
        """Canonical JSON."""
        return json.dumps(self.data, sort_keys=True, separators=(",", ":"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self.data == other.data

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __str__(self) -> str:
        return self.text
