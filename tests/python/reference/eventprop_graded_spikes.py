"""The gradients of eventprop_graded_spikes in float64: sums over all rows, then the straight-through rule."""

import numpy


def eventprop_graded_spikes(spikes, weight, scale, bound, to_graded, to_adjoint):
    """dL/dspikes and dL/dweight for rows `[row, in]`, `to_graded` = G0 and `to_adjoint` = G1 `[row, out]`.

    With q = round(clip(scale w, -bound, bound)) and model units: dL/dspikes = G1 q / scale, and dL/dw is
    G0^T spikes where |scale w| <= bound, else 0.
    """
    scaled = scale * weight
    integers = numpy.rint(numpy.clip(scaled, -bound, bound))
    to_spikes = to_adjoint @ integers / scale
    to_weight = numpy.zeros_like(weight)
    for row in range(spikes.shape[0]):
        to_weight += numpy.outer(to_graded[row], spikes[row])
    return to_spikes, numpy.where(numpy.abs(scaled) <= bound, to_weight, 0.0)
