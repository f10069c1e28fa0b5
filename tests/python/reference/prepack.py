"""The packed forms of a matrix of integers, one weight at a time."""

import numpy


def prepack(integers, nan):
    """(rows, groups, matrix, nan_posts) of int64 `[out, in]` and a mask of NaN weights, which are 0."""
    out_features, in_features = integers.shape
    padded = -(-out_features // 64) * 64
    rows = numpy.zeros((in_features, padded), dtype=numpy.int64)
    groups = numpy.zeros((-(-in_features // 4), padded, 4), dtype=numpy.int64)
    matrix = numpy.zeros((out_features, -(-in_features // 64) * 64), dtype=numpy.int64)
    for post in range(out_features):
        for pre in range(in_features):
            weight = 0 if nan[post, pre] else integers[post, pre]
            rows[pre, post] = groups[pre // 4, post, pre % 4] = matrix[post, pre] = weight
    return rows, groups, matrix, nan.any(axis=1)
