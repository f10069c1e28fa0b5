"""What cannot be imported or exported: all of it at once, each with a reason and a remedy."""

from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Sequence


@dataclass(frozen=True)
class Problem:
    """One refusal."""

    node: str
    """Name of the node, of nested graphs "G.name"; or the path of a module."""
    type: str
    """Its type: "CubaLIF"."""
    reason: str
    remedy: str

    def as_dict(self) -> Dict[str, str]:
        return asdict(self)


class _Refusal(ValueError):
    """An error with a table of what is refused."""

    problems: List[Problem]

    def __init__(self, sentence: str, problems: Sequence[Problem] = ()) -> None:
        self.problems = list(problems)
        rows = [("node", "type", "reason", "remedy")]
        rows += [(p.node, p.type, p.reason, p.remedy) for p in self.problems]
        super().__init__(sentence + ("\n" + table(rows) if self.problems else ""))
        self.sentence = sentence

    def __reduce__(self) -> Any:
        return type(self), (self.sentence, self.problems)


class NIRImportError(_Refusal):
    """A graph or file that is not imported: `problems` has node, type, reason and remedy of each refusal.

    A file that is no NIR file, or a damaged one, is one sentence and no problems.
    """


class NIRExportError(_Refusal):
    """A model that NIR has no words for: `problems` has module, type, reason and remedy of each refusal."""


class NIRWarning(UserWarning):
    """Something that is worth a look: an implausible time constant, a spike that is lost, what NIR cannot say."""


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, as wide as their widest entry."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]) - 1)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[-1]]) for row in rows]
    return "\n".join(f"  {line}".rstrip() for line in lines)


def counted(number: int, what: str) -> str:
    """ "1 node", "3 nodes"."""
    return f"{number} {what}" + ("" if number == 1 else "s")
