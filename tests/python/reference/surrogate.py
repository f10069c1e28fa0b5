"""Surrogate derivatives of z = [x > 0] in float64, each from the function that it replaces the step by.

superspike     Zenke and Ganguli 2018: derivative of the fast sigmoid, scaled to height 1
fast_sigmoid   (1 + u / (1 + |u|)) / 2 with u = alpha x
sigmoid        1 / (1 + exp(-u))
arctan         1/2 + arctan(pi u / 2) / pi
triangular     a ramp whose slope rises and falls linearly over |u| < 1
gaussian       the normal distribution of width 1/alpha
box            a ramp of slope alpha
"""

import numpy

NAMES = ("superspike", "fast_sigmoid", "sigmoid", "arctan", "triangular", "gaussian", "box")


def derivative(name, x, alpha):
    """d z / d x for a float64 array."""
    u = numpy.abs(alpha * numpy.asarray(x, dtype=numpy.float64))
    with numpy.errstate(over="ignore"):
        return {
            "superspike": lambda: (1.0 + u) ** -2,
            "fast_sigmoid": lambda: 0.5 * alpha * (1.0 + u) ** -2,
            "sigmoid": lambda: 0.25 * alpha / numpy.cosh(0.5 * u) ** 2,
            "arctan": lambda: 0.5 * alpha / (1.0 + (0.5 * numpy.pi * u) ** 2),
            "triangular": lambda: alpha * numpy.clip(1.0 - u, 0.0, None),
            "gaussian": lambda: alpha * numpy.exp(-0.5 * u**2) / numpy.sqrt(2.0 * numpy.pi),
            "box": lambda: alpha * (u <= 0.5),
        }[name]()
