"""clip(scale * w, min, max) and its straight-through gradients, one number at a time."""

import math

import numpy


def linear_saturating(weight, scale=1.0, min_weight=-63.0, max_weight=63.0):
    """`weight` is a numpy array; the product is rounded once in its dtype, the scale is a float32 number."""
    out = numpy.empty_like(weight)
    factor = weight.dtype.type(numpy.float32(scale))
    with numpy.errstate(over="ignore"):
        for index, w in numpy.ndenumerate(weight):
            x = factor * w
            out[index] = x if math.isnan(x) else max(min(x, max_weight), min_weight)
    return out


def weight_gradient(gradient, weight, scale, min_weight, max_weight, rule):
    """dL/dw for dL/dq = gradient; bounds inclusive; `rule` is clipped, identity or returning."""
    out = numpy.zeros_like(gradient)
    factor = weight.dtype.type(numpy.float32(scale))
    with numpy.errstate(over="ignore"):
        for index, w in numpy.ndenumerate(weight):
            x, g = factor * w, gradient[index]
            inside = min_weight <= x <= max_weight
            # Descent moves the weight against the gradient.
            returns = (x > max_weight and g > 0) or (x < min_weight and g < 0)
            if rule == "identity" or inside or (rule == "returning" and returns):
                out[index] = g * numpy.float32(scale)
    return out
