"""Spikes as CSV files, by the rules of `gradspike-run`: step,batch,neuron[,count] after a header of these names."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import List, Sequence, Tuple

import torch
from torch import Tensor

_HEADERS = ("step,batch,neuron", "step,batch,neuron,count")
MAX_COUNT = 127  # of one neuron in one step
MAX_ELEMENTS = 2**30  # of the dense counts of one input

Event = Tuple[int, int, int, int]


@dataclass
class SpikeLines:
    """The spikes of one input as they stand in a file."""

    path: str
    size: int
    events: List[Event]

    @property
    def steps(self) -> int:
        """Up to the last spike."""
        return max((event[0] + 1 for event in self.events), default=0)

    @property
    def batch(self) -> int:
        """Up to the last entry with a spike."""
        return max((event[1] + 1 for event in self.events), default=0)

    def dense(self, steps: int, batch: int) -> Tensor:
        """Counts `[time, batch, neuron]`, float32. Raises for spikes beyond steps or batch, and for too many in one."""
        for step, entry, _, _ in self.events:
            if step >= steps:
                raise ValueError(f"'{self.path}': step must be below {steps}, got {step}")
            if entry >= batch:
                raise ValueError(f"'{self.path}': batch must be below {batch}, got {entry}")
        if steps * batch * self.size >= MAX_ELEMENTS:
            raise ValueError(f"'{self.path}': {steps} steps of {batch} entries are too many")
        spikes = torch.zeros(steps, batch, self.size)
        if self.events:
            events = torch.tensor(self.events)
            spikes.index_put_((events[:, 0], events[:, 1], events[:, 2]), events[:, 3].float(), accumulate=True)
        for step, entry, neuron in (spikes > MAX_COUNT).nonzero()[:1].tolist():
            raise ValueError(
                f"'{self.path}': step {step}, batch {entry}, neuron {neuron} has more than {MAX_COUNT} spikes"
            )
        return spikes


def read_spikes(path: str, size: int) -> SpikeLines:
    """Reads the spikes of an input with `size` neurons. Raises naming file, line and what is wrong with it."""
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    lines = [line.rstrip("\r ") for line in text.split("\n")]
    if lines[0] not in _HEADERS:
        raise ValueError(f"'{path}': the header must be step,batch,neuron[,count], got {lines[0][:40]!a}")
    columns = lines[0].count(",") + 1
    numbered = enumerate(lines[1:], start=2)
    return SpikeLines(path, size, [_event(f"'{path}' line {k}", line, columns, size) for k, line in numbered if line])


def _event(place: str, line: str, columns: int, size: int) -> Event:
    numbers = [_number(place, field) for field in line.split(",")]
    if len(numbers) != columns:
        raise ValueError(f"{place}: must have {columns} fields, got {len(numbers)}")
    step, batch, neuron, count = (*numbers, 1)[:4]
    if neuron >= size:
        raise ValueError(f"{place}: neuron must be below {size}, got {neuron}")
    if count > MAX_COUNT:
        raise ValueError(f"{place}: count must be at most {MAX_COUNT}, got {count}")
    return step, batch, neuron, count


def _number(place: str, field: str) -> int:
    if not (field.isascii() and field.isdigit()):
        raise ValueError(f"{place}: {field!r} must be a whole number from 0")
    if len(field.lstrip("0")) > 18 or int(field) > MAX_ELEMENTS:
        raise ValueError(f"{place}: {field} is too large")
    return int(field)


def read_inputs(paths: Sequence[str], sizes: Sequence[int], steps: int, batch: int) -> List[Tensor]:
    """Spikes of all inputs of a network, all of one length and one batch; 0: as long as the longest input."""
    inputs = [read_spikes(path, size) for path, size in zip(paths, sizes, strict=True)]
    steps = steps or max((lines.steps for lines in inputs), default=0)
    batch = batch or max((lines.batch for lines in inputs), default=0)
    return [lines.dense(steps, batch) for lines in inputs]


def events(spikes: Tensor) -> List[Event]:
    """Step, batch entry, neuron and count of each spike, in order of batch entry, step, neuron."""
    found = spikes.transpose(0, 1).nonzero().tolist()
    return [(step, batch, neuron, int(spikes[step, batch, neuron])) for batch, step, neuron in found]


def write_spikes(path: str, spikes: Tensor) -> None:
    """Writes in order of batch entry, step, neuron, with counts where one is above 1; "-" is standard output."""
    counted = bool((spikes > 1).any())
    lines = ["step,batch,neuron" + (",count" if counted else "")]
    for step, batch, neuron, count in events(spikes):
        lines.append(f"{step},{batch},{neuron}" + (f",{count}" if counted else ""))
    text = "\n".join(lines) + "\n"
    if path == "-":
        sys.stdout.write(text)
    else:
        Path(path).write_text(text, encoding="utf-8")
