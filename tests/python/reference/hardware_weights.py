"""The quantiser in exact rational arithmetic."""

import math
from fractions import Fraction

import numpy


def nan_integer(min_weight, max_weight):
    return -128 if max(-min_weight, max_weight) <= 127 else -32768


def round_half_even(x):
    return round(Fraction(x))  # Python rounds a Fraction half to even, exactly


def round_half_away(x):
    magnitude = math.floor(abs(Fraction(x)) + Fraction(1, 2))
    return -magnitude if x < 0 else magnitude


def hardware_weights(weight, scale=1.0, min_weight=-63, max_weight=63, rounding="half_even"):
    """int64 array; `weight` is a float32 or float64 array, and scale * w is rounded once in its dtype."""
    rule = {"half_even": round_half_even, "half_away": round_half_away}[rounding]
    factor = weight.dtype.type(numpy.float32(scale))
    out = numpy.empty(weight.shape, dtype=numpy.int64)
    with numpy.errstate(over="ignore"):
        for index, w in numpy.ndenumerate(weight):
            x = float(factor * w)
            out[index] = (
                nan_integer(min_weight, max_weight) if math.isnan(x) else rule(min(max(x, min_weight), max_weight))
            )
    return out
