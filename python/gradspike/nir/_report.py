"""What an import did: every node, how it was taken, and by which convention."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List

from gradspike.nir._problems import table


@dataclass
class NodeReport:
    """How one node was imported."""

    name: str
    type: str
    status: str
    """"exact", "approximate", "folded" into another, or "dropped" where it changes nothing."""
    module: str
    """Path of the module that stands for it, "" where there is none."""
    remark: str = ""


@dataclass
class ImportReport:
    """What `from_nir` did with each node, by which convention, and what a chip would not do."""

    convention: Dict[str, Any]
    inputs: List[str]
    """Names of the inputs, in the order of the module's arguments."""
    outputs: List[str]
    """Names of the outputs, in the order of the module's results."""
    nodes: List[NodeReport] = field(default_factory=list)
    approximations: List[str] = field(default_factory=list)
    """What is not exact; each was switched on by an argument."""
    notes: List[str] = field(default_factory=list)
    not_for_chip: List[str] = field(default_factory=list)
    """What is simulated here and cannot be on a chip."""
    from_metadata: Dict[str, Any] = field(default_factory=dict)
    """What the file's metadata decided, since no argument did."""

    @property
    def exact(self) -> bool:
        """Whether nothing was approximated."""
        return not self.approximations

    def module_of(self, node: str) -> str:
        """Path of the module that stands for a node; raises KeyError where there is none of that name."""
        return {entry.name: entry.module for entry in self.nodes}[node]

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "exact": self.exact}, default=str)

    def __str__(self) -> str:
        said = ", ".join(f"{key}={value}" for key, value in self.convention.items())
        lines = ["imported " + ("exactly" if self.exact else "with approximations") + f" by {said}"]
        rows = [("node", "type", "taken", "module", "remark")]
        lines.append(table([*rows, *((n.name, n.type, n.status, n.module, n.remark) for n in self.nodes)]))
        for title, entries in (
            ("approximation", self.approximations),
            ("not for a chip", self.not_for_chip),
            ("note", self.notes),
        ):
            lines += [f"  {title}: {entry}" for entry in entries]
        if self.from_metadata:
            lines.append("  from metadata: " + ", ".join(f"{k}={v}" for k, v in self.from_metadata.items()))
        return "\n".join(lines)
