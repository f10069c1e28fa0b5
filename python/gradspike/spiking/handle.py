"""Handles: promises of what a module will give, filled by `run`."""

import copyreg
import dataclasses
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

import torch

_types: Dict[Tuple[str, ...], type] = {}


class _HandleType(type):
    """Makes `Handle("a", "b")` and `Handle(a=x, b=y)` an instance of the class of those fields."""

    def __call__(cls, *names: Any, **values: Any) -> Any:
        if cls is not Handle:
            return super().__call__(*names, **values)
        missing = [name for name in names if name not in values]
        if values and missing:
            raise Exception(
                "Ambiguous Handle construction mode",
                f"positional names {', '.join(map(repr, missing))} have no value among the keywords",
            )
        return handle_type(*names, *values)(**values)


class Handle(metaclass=_HandleType):
    """Named fields that are None until a module fills them.

    `Handle("spikes", "current")` makes an empty one, `Handle(spikes=x)` a filled one. There is one class for each set
    of field names, with the names in alphabetical order, which is the order of positional values. The graph of an
    experiment tells handles apart by identity.
    """

    if TYPE_CHECKING:

        def __init__(self, *names: Any, **values: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

    def holds(self, name: str) -> bool:
        """True where the field exists and is filled."""
        return getattr(self, name, None) is not None if name in _names(self) else False

    def clone(self, other: "Handle") -> None:
        """Takes the fields of another handle of the same names; tensors are shared."""
        if _names(self) != _names(other):
            raise AssertionError(f"a handle of {list(_names(self))} cannot take the fields {list(_names(other))}")
        for name in _names(self):
            setattr(self, name, getattr(other, name))

    def __eq__(self, other: object) -> bool:
        """Whether the fields are equal, in order; names and class do not matter, tensors compare by `torch.equal`."""
        if not dataclasses.is_dataclass(other) or isinstance(other, type):
            return NotImplemented
        ours, theirs = _values(self), _values(other)
        return len(ours) == len(theirs) and all(map(_equal, ours, theirs))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in _names(self))})"

    def __reduce__(self) -> Any:
        return _restored, (_names(self), _values(self))


def handle_type(*names: str) -> Any:
    """The class of handles with these fields.

    Example:
        >>> handle_type("spikes", "current").__name__
        'Handle_current_spikes'
    """
    key = tuple(sorted(set(names)))
    for name in key:
        if not isinstance(name, str) or not name.isidentifier():
            raise TypeError(f"Handle: a field must be named by an identifier, got {name!r}")
    if key not in _types:
        fields = [(name, Any, dataclasses.field(default=None)) for name in key]
        kind = dataclasses.make_dataclass("Handle_" + "_".join(key), fields, bases=(Handle,), eq=False, repr=False)
        kind.__module__ = __name__
        kind._names = key  # type: ignore[attr-defined]
        _types[key] = kind
    return _types[key]


def _names(handle: Any) -> Tuple[str, ...]:
    names: Optional[Tuple[str, ...]] = getattr(type(handle), "_names", None)
    return tuple(field.name for field in dataclasses.fields(handle)) if names is None else names


def _values(handle: Any) -> Tuple[Any, ...]:
    return tuple(getattr(handle, name) for name in _names(handle))


def _restored(names: Tuple[str, ...], values: Tuple[Any, ...]) -> Any:
    return handle_type(*names)(*values)


def _equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, torch.Tensor) or isinstance(theirs, torch.Tensor):
        both = isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor)
        return both and torch.equal(ours, theirs)
    return bool(ours == theirs)


def _reduced_type(kind: Any) -> Any:
    """How a class of handles is pickled: by its names, for another process makes it anew."""
    return kind.__name__ if kind is Handle else (_type_of, (kind._names,))


def _type_of(names: Tuple[str, ...]) -> Any:
    return handle_type(*names)


copyreg.pickle(_HandleType, _reduced_type)


TensorHandle: Any = handle_type("tensor")
"""Handle of modules that give one tensor."""

SynapseHandle: Any = handle_type("graded_spikes")
"""Handle of projections: `graded_spikes [time, batch, neuron]`."""

LIObservables: Any = handle_type("current", "membrane_cadc", "membrane_madc")
"""Handle of integrators: `current` and `membrane_cadc [time, batch, neuron]`, `membrane_madc` raw samples or None."""

LIFObservables: Any = handle_type("current", "membrane_cadc", "membrane_madc", "spikes")
"""Handle of firing neurons: that of integrators, and `spikes [time, batch, neuron]`."""
