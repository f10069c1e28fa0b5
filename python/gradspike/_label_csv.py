"""Classes of samples as a CSV file: batch,label after a header of these names, one line per sample."""

from pathlib import Path

import torch
from torch import Tensor

_HEADER = "batch,label"
_MAX_LABEL = 2**31 - 1


def read_labels(path: str, batch: int) -> Tensor:
    """Classes `[batch]`, int64. Raises naming file, line and what is wrong with it.

    Args:
        path: The file.
        batch: Number of samples; each must have one line.
    """
    lines = [line.rstrip("\r ") for line in Path(path).read_text(encoding="utf-8", errors="replace").split("\n")]
    if lines[0] != _HEADER:
        raise ValueError(f"'{path}': the header must be {_HEADER}, got {lines[0][:40]!a}")
    labels = torch.full((batch,), -1, dtype=torch.int64)
    for number, line in enumerate(lines[1:], start=2):
        if line:
            entry, label = _entry(f"'{path}' line {number}", line, batch)
            if labels[entry] >= 0:
                raise ValueError(f"'{path}' line {number}: batch {entry} has a label already")
            labels[entry] = label
    for missing in (labels < 0).nonzero()[:1].flatten().tolist():
        raise ValueError(f"'{path}': batch entry {missing} of {batch} must have a label")
    return labels


def _entry(place: str, line: str, batch: int) -> "tuple[int, int]":
    fields = line.split(",")
    if len(fields) != 2:
        raise ValueError(f"{place}: must have 2 fields, got {len(fields)}")
    for field in fields:
        if not (field.isascii() and field.isdigit() and len(field) < 11 and int(field) <= _MAX_LABEL):
            raise ValueError(f"{place}: {field!r} must be a whole number from 0")
    entry, label = int(fields[0]), int(fields[1])
    if entry >= batch:
        raise ValueError(f"{place}: batch must be below {batch}, got {entry}")
    return entry, label
