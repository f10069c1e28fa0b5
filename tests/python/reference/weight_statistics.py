"""Counts, measures and content hash of a layer's integers, one weight at a time."""

import math

import numpy

from reference.hardware_weights import hardware_weights

MASK = 2**64 - 1


def mix64(x):
    """Finaliser of SplitMix64 after its increment (Steele, Lea and Flood 2014, figure 17)."""
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def content_hash(integers, min_weight, max_weight):
    """Sum over elements of mix64(mix64(index) ^ q) modulo 2^64; then out, in, min and max are folded in."""
    shares = (mix64(mix64(index) ^ (int(q) & MASK)) for index, q in enumerate(integers.flatten()))
    value = mix64(sum(shares) & MASK)
    for extra in (*integers.shape, int(min_weight), int(max_weight)):
        value = mix64(value ^ (extra & MASK))
    return value


def weight_statistics(weight, scale=1.0, min_weight=-63, max_weight=63, rounding="half_even"):
    integers = hardware_weights(weight, scale, min_weight, max_weight, rounding)
    integers[numpy.isnan(weight)] = -32768  # the hash is that of the 16-bit integers, whatever they are stored as
    factor = weight.dtype.type(numpy.float32(scale))
    counts = {"total": weight.size, "clipped_low": 0, "clipped_high": 0, "to_zero": 0, "nan": 0}
    largest, squares = 0.0, []
    for w, q in zip(weight.flatten(), integers.flatten()):
        x = float(factor * w)
        if math.isnan(x):
            counts["nan"] += 1
            continue
        counts["clipped_low"] += x < min_weight
        counts["clipped_high"] += x > max_weight
        counts["to_zero"] += w != 0 and q == 0
        largest = max(largest, abs(x))
        squares.append((q - min(max(x, min_weight), max_weight)) ** 2)
    error = math.sqrt(sum(squares) / len(squares)) if squares else 0.0
    return {
        **counts,
        "largest": largest,
        "rounding_error": error,
        "hash": content_hash(integers, min_weight, max_weight),
    }
