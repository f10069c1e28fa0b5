"""Parameters are computed in exact rational arithmetic and rounded once, so that they can be computed back."""

import itertools
import math
from fractions import Fraction
from typing import Any, Callable, Sequence, Tuple

import numpy as np


def exactly(formula: Callable[..., Fraction], *values: np.ndarray) -> np.ndarray:
    """`formula` of finite values, element by element, rounded once to float64; overflow gives infinity.

    Each distinct input is computed once.
    """
    stacked = np.stack([np.asarray(value, dtype=np.float64).reshape(-1) for value in values])
    distinct, where = np.unique(stacked, axis=1, return_inverse=True)
    results = [_rounded(formula(*map(Fraction, column))) for column in distinct.T.tolist()]
    return np.array(results, dtype=np.float64)[where.reshape(-1)]


def _rounded(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def solved(
    forward: Callable[..., np.ndarray], wanted: np.ndarray, *guesses: Sequence[np.ndarray], rounding: Any = np.float64
) -> Tuple[Tuple[np.ndarray, ...], bool]:
    """Values next to one of `guesses` whose `forward` is `wanted`, after rounding; and whether all are.

    Args:
        forward: From arrays like those of a guess to one like `wanted`.
        wanted: What is to come out.
        guesses: Each has one array per argument; later ones serve the elements for which earlier ones fail.
        rounding: Type in which the result is compared.
    """
    best = [np.array(array, dtype=np.float64) for array in guesses[0]]
    target = np.asarray(wanted, dtype=rounding)
    right = np.zeros(target.shape, dtype=bool)
    steps = sorted(itertools.product((0, 1, -1, 2, -2), repeat=len(best)), key=lambda s: sum(map(abs, reversed(s))))
    for guess, step in itertools.product(guesses, steps):
        tried = [_moved(np.asarray(array, dtype=np.float64), by) for array, by in zip(guess, step)]
        hits = (np.asarray(forward(*tried), dtype=rounding) == target) & ~right
        for values, candidate in zip(best, tried):
            values[hits] = candidate[hits]
        right |= hits
        if right.all():
            return tuple(best), True
    return tuple(best), False


def _moved(values: np.ndarray, by: int) -> np.ndarray:
    """`by` units in the last place away."""
    result = values
    for _ in range(abs(by)):
        result = np.nextafter(result, math.copysign(math.inf, by))
    return result
