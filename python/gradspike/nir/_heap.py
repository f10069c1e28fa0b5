"""A check of the heaps in which HDF5 keeps texts: in a broken one the HDF5 library may search without end.

Source: HDF5 file format specification, version 3, III.E "Global Heap".
"""

import mmap
import os
from typing import Union

_START = b"GCOL\x01\x00\x00\x00"  # signature, version, reserved
_HEADER = 16  # bytes of the header of a heap, and of each object


def heaps_are_whole(path: Union[str, "os.PathLike[str]"]) -> bool:
    """Whether the objects of every heap in a file fill it exactly."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = content.find(_START)
        while start >= 0:
            if not _is_whole(content, start):
                return False
            start = content.find(_START, start + 1)
    return True


def _is_whole(content: mmap.mmap, start: int) -> bool:
    size = _number(content, start + 8, 8)
    if size < _HEADER or start + size > len(content):
        return False
    at = _HEADER
    while at + _HEADER <= size:
        length = _number(content, start + at + 8, 8)
        if _number(content, start + at, 2) == 0:  # free space, up to the end
            return length == size - at
        at += _HEADER + (length + 7) // 8 * 8
        if at > size:
            return False
    return True


def _number(content: mmap.mmap, at: int, size: int) -> int:
    return int.from_bytes(content[at : at + size], "little")
