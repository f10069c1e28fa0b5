"""Reading of NIR files: what is wrong with one is said in a sentence, and nothing outside of it is opened."""

import os
from typing import Any, Dict, List, NoReturn, Optional, Tuple, Union

import numpy as np

from gradspike.nir._heap import heaps_are_whole
from gradspike.nir._problems import NIRImportError
from gradspike.nir._raw import FIELDS, RawGraph, RawNode
from gradspike.nir._require import require

PathLike = Union[str, "os.PathLike[str]"]

_MAX_DEPTH = 32
_MAX_ELEMENTS = 2**31  # of one array
_MAX_NODES = 10**6
_SMALL = 2**24  # bytes of an array that is read whatever the file stores of it
_MAX_COMPRESSION = 1100  # deflate reaches 1032


def read_raw(path: PathLike) -> RawGraph:
    """The graph of a file.

    Raises:
        FileNotFoundError: there is no such file.
        NIRImportError: it is no NIR file, or a damaged one; one sentence says how.
        ImportError: h5py is missing.
    """
    h5py = require("h5py", "reading a NIR file")
    if not os.path.exists(path):
        raise FileNotFoundError(f"from_nir: there is no file '{path}'")
    if os.path.isdir(path):
        raise NIRImportError(f"from_nir: '{path}' is a folder, not a file")
    if not h5py.is_hdf5(path):
        _refuse_foreign(path)
    if not heaps_are_whole(path):
        raise NIRImportError(f"from_nir: '{path}' is damaged: a heap of texts is broken")
    try:
        with h5py.File(path, "r") as file:
            return _Reader(h5py, path).root(file)
    except NIRImportError:
        raise
    except Exception as error:  # whatever HDF5 makes of a damaged file
        raise NIRImportError(f"from_nir: '{path}' is damaged: {_first_line(error)}") from None


def is_hdf5(path: PathLike) -> bool:
    """Whether the file starts as an HDF5 file does; without h5py."""
    try:
        with open(path, "rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError:
        return False


def _refuse_foreign(path: PathLike) -> NoReturn:
    with open(path, "rb") as file:
        start = file.read(8)
    what = "no HDF5 file, as NIR files are"
    if not start:
        what = "empty"
    elif start.startswith(b"PK"):
        what = "a zip archive, such as gradspike.load opens, and no NIR file"
    elif start.lstrip()[:1] in (b"{", b"["):
        what = "JSON text, such as gradspike.open_network opens, and no NIR file"
    elif start[1:4] == b"HDF" or start[:4] == b"\x89HDF":
        what = "damaged: the signature of HDF5 is not whole"
    raise NIRImportError(f"from_nir: '{path}' is {what}")


def _first_line(error: BaseException) -> str:
    text = str(error).strip().strip("'\"")
    return text.split("\n", 1)[0] or type(error).__name__


class _Reader:
    """Walks one file."""

    def __init__(self, h5py: Any, path: PathLike) -> None:
        self.h5py = h5py
        self.path = path
        self.nodes = 0

    def fail(self, sentence: str) -> NoReturn:
        raise NIRImportError(f"from_nir: '{self.path}': {sentence}")

    def root(self, file: Any) -> RawGraph:
        if self.text(file.attrs.get("__type__")) == "NIRGraphData":
            self.fail("holds NIR data, not a graph: open it with nir.read_data and give it to from_nir_data")
        if "node" not in file:
            self.fail(f"is an HDF5 file without the group 'node', which NIR files have; it has {self.listed(file)}")
        node = self.member(file, "node")
        kind = self.type_of(node, "the root")
        if kind != "NIRGraph":
            self.fail(f"its root must be a NIRGraph, got the single node {kind!r}")
        return self.graph(node, "", 0)

    def graph(self, group: Any, name: str, depth: int) -> RawGraph:
        what = f"graph {name!r}" if name else "the graph"
        if depth > _MAX_DEPTH:
            self.fail(f"{what} is nested more than {_MAX_DEPTH} deep")
        for member in ("nodes", "edges"):
            if member not in group:
                self.fail(f"{what} has no {member}")
        nodes = self.member(group, "nodes")
        if not isinstance(nodes, self.h5py.Group):
            self.fail(f"the nodes of {what} must be a group, got an array")
        found = {key: self.node(self.member(nodes, key), f"{name}.{key}".lstrip("."), depth) for key in nodes}
        return RawGraph(found, self.edges(self.member(group, "edges"), what), self.metadata(group))

    def node(self, group: Any, name: str, depth: int) -> Union[RawNode, RawGraph]:
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            self.fail(f"has more than {_MAX_NODES} nodes")
        kind = self.type_of(group, f"node {name!r}")
        if kind == "NIRGraph":
            return self.graph(group, name, depth + 1)
        fields = {f: self.value(self.member(group, f), f"{name}.{f}") for f in FIELDS.get(kind, ()) if f in group}
        return RawNode(kind, fields, self.metadata(group))

    def type_of(self, group: Any, what: str) -> str:
        if not isinstance(group, self.h5py.Group):
            self.fail(f"{what} must be a group, got an array")
        if "type" not in group:
            hint = "" if what == "the root" else " (a '/' in a name splits it into groups)"
            self.fail(f"{what} has no type, only {self.listed(group)}{hint}")
        kind = self.text(self.value(self.member(group, "type"), f"{what}: type"))
        if kind is None:
            self.fail(f"the type of {what} must be text")
        return kind

    def member(self, group: Any, key: str) -> Any:
        link = group.get(key, getlink=True)
        if isinstance(link, (self.h5py.ExternalLink, self.h5py.SoftLink)):
            self.fail(f"{key!r} is a link to {link.path!r}, which is not followed: copy the data into the file")
        return group[key]

    def value(self, dataset: Any, what: str) -> Any:
        if not isinstance(dataset, self.h5py.Dataset):
            self.fail(f"{what} must be an array, got a group")
        if dataset.external or dataset.is_virtual:
            self.fail(f"{what} keeps its numbers in another file, which is not opened")
        if dataset.size is not None and dataset.size > _MAX_ELEMENTS:
            self.fail(f"{what} has {dataset.size} elements, more than {_MAX_ELEMENTS}")
        claimed = (dataset.size or 0) * dataset.dtype.itemsize
        stored = dataset.id.get_storage_size()
        if claimed > _SMALL and claimed > stored * _MAX_COMPRESSION:
            self.fail(f"is damaged: {what} claims {claimed} bytes, of which the file stores {stored}")
        try:
            value = dataset[()]
        except (OSError, ValueError, TypeError, MemoryError) as error:
            self.fail(f"is damaged: {what} cannot be read: {_first_line(error)}")
        return self.text(value) if isinstance(value, (bytes, str)) else value

    def edges(self, dataset: Any, what: str) -> List[Tuple[str, str]]:
        pairs = np.asarray(self.value(dataset, f"the edges of {what}"))
        if pairs.size == 0:
            return []
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            self.fail(f"the edges of {what} must be pairs of names, got an array of shape {list(pairs.shape)}")
        names = [[self.text(name) for name in pair] for pair in pairs.tolist()]
        if any(name is None for pair in names for name in pair):
            self.fail(f"the edges of {what} must be pairs of names in UTF-8")
        return [(str(a), str(b)) for a, b in names]

    def metadata(self, group: Any) -> Dict[str, Any]:
        if "metadata" not in group:
            return {}
        found = self.member(group, "metadata")
        if not isinstance(found, self.h5py.Group):
            return {}
        return {
            key: self.value(self.member(found, key), f"metadata {key!r}")
            for key in found
            if isinstance(self.member(found, key), self.h5py.Dataset)
        }

    @staticmethod
    def text(value: Any) -> Optional[str]:
        try:
            return value.decode("utf8") if isinstance(value, bytes) else value if isinstance(value, str) else None
        except UnicodeDecodeError:
            return None

    @staticmethod
    def listed(group: Any) -> str:
        return ", ".join(repr(key) for key in list(group)[:5]) or "nothing"
