"""Spikes as arrays in .npy files, `[time, batch, neuron]`, by the rules of `gradspike-run`."""

from pathlib import Path
from typing import List, Optional, Sequence

import torch
from torch import Tensor

from gradspike import _spike_csv

MAGIC = b"\x93NUMPY"


def is_npy(path: str) -> bool:
    """Whether a name is that of an array."""
    return path.endswith(".npy")


def read_spikes(path: str, size: Optional[int]) -> Tensor:
    """Counts `[time, batch, neuron]`, float32, of `size` neurons; None: of any number. Raises naming file and place."""
    import numpy

    with Path(path).open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError(f"'{path}' is no .npy file")
        file.seek(0)
        try:
            array = numpy.load(file, allow_pickle=False)
        except (ValueError, EOFError, MemoryError) as error:
            raise ValueError(f"'{path}' cannot be read: {error}") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"'{path}': dtype must be a boolean, an integer or a float, got {array.dtype}")
    if array.ndim != 3 or size not in (None, array.shape[2]):
        neurons = "neuron" if size is None else size
        raise ValueError(f"'{path}' must be [time, batch, {neurons}], got {list(array.shape)}")
    most = _spike_csv.MAX_COUNT
    wrong = numpy.argwhere(~((array >= 0) & (array <= most) & (array == numpy.floor(array))))  # NaN is wrong too
    for step, batch, neuron in wrong[:1].tolist():
        raise ValueError(
            f"'{path}': step {step}, batch {batch}, neuron {neuron} must be a whole number in 0..{most}, "
            f"got {array[step, batch, neuron]}"
        )
    return torch.from_numpy(numpy.ascontiguousarray(array, dtype=numpy.float32))


def write_spikes(path: str, spikes: Tensor) -> None:
    """Writes counts as uint8."""
    import numpy

    numpy.save(path, spikes.to(torch.uint8).cpu().numpy())


def read_inputs(paths: Sequence[str], sizes: Sequence[int]) -> List[Tensor]:
    """Spikes of all inputs of a network, all of one length and one batch."""
    inputs = [read_spikes(path, size) for path, size in zip(paths, sizes, strict=True)]
    for path, spikes in zip(paths, inputs):
        if spikes.shape[:2] != inputs[0].shape[:2]:
            raise ValueError(
                f"'{path}' must have the steps and batch entries of '{paths[0]}', {list(inputs[0].shape[:2])}, "
                f"got {list(spikes.shape[:2])}"
            )
    return inputs
