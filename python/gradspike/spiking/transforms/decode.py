"""Decoders from traces to scores."""

from gradspike.transforms import MaxOverTime, MeanOverTime, SumOverTime

__all__ = ["MaxOverTime", "MeanOverTime", "SumOverTime"]
