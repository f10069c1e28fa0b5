"""Figures of spikes, traces, weights, learning, placement and reports.

A function that has `ax` draws into these Axes, or into a new figure where that is None, and returns the Axes; the
others return a Figure. Nothing is shown, so the functions work without a display: `ax.figure.savefig("raster.pdf")`
writes a figure, and in a notebook `ax.figure` as the last line of a cell shows it. Colours are those of Okabe and Ito,
which readers with impaired colour vision can tell apart. Needs matplotlib, which is imported when a function is called.
"""

from gradspike.plot._chip_map import chip_map
from gradspike.plot._comparison import run_comparison, spike_comparison, trace_comparison
from gradspike.plot._learning import learning_curve
from gradspike.plot._report import accuracies, integer_histogram, report_figure, resource_usage, weight_losses
from gradspike.plot._traces import membrane_traces, psp_overlay, spike_raster
from gradspike.plot._weights import weight_histogram

__all__ = [
    "accuracies",
    "chip_map",
    "integer_histogram",
    "learning_curve",
    "membrane_traces",
    "psp_overlay",
    "report_figure",
    "resource_usage",
    "run_comparison",
    "spike_comparison",
    "spike_raster",
    "trace_comparison",
    "weight_histogram",
    "weight_losses",
]
