"""Checks of constructor arguments. Each wording exists once."""

import math
from typing import Optional, Tuple

SURROGATES = ("superspike", "fast_sigmoid", "sigmoid", "arctan", "triangular", "gaussian", "box")
"""Names of `gradspike.functional.lif`'s surrogate."""


def check_size(kind: str, argument: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{kind}: {argument} must be a whole number of at least 1, got {value!r}")


def name_of(kind: str, name: Optional[str]) -> str:
    if name is not None and not isinstance(name, str):
        raise TypeError(f"{kind}: name must be a str or None, got {type(name).__name__}")
    return name or ""


def choice(kind: str, argument: str, value: str, choices: Tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{kind}: {argument} must be one of {', '.join(choices)}, got {value!r}")
    return value


def positive(kind: str, argument: str, value: float) -> float:
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
        raise ValueError(f"{kind}: {argument} must be finite and above 0, got {value!r}")
    return float(value)
