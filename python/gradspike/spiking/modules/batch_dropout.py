"""Dropout of neurons, the same for a whole batch."""

from typing import Any, Optional

import torch
from torch import Tensor

from gradspike.spiking.functional import batch_dropout
from gradspike.spiking.handle import LIFObservables
from gradspike.spiking.modules.neuron import AELIF
from gradspike.spiking.modules.types import HXFunctionalModule


class BatchDropout(HXFunctionalModule):
    """Drops neurons with probability `dropout`: one mask for the whole batch and all steps, drawn by each `run`.

    Spikes are not rescaled by 1 / (1 - dropout). In evaluation nothing is dropped. The module follows a population,
    whose `mask` it sets; on a backend in training the connections of dropped neurons are 0.

    Args:
        size: Number of neurons.
        dropout: Probability of a neuron to be dropped.
        experiment: The experiment.
    """

    output_type = LIFObservables

    def __init__(self, size: int, dropout: float, experiment: Any) -> None:
        super().__init__(experiment)
        self.size = size
        self._dropout = dropout
        self._mask: Optional[Tensor] = None

    @property
    def mask(self) -> Optional[Tensor]:
        """Neurons that stay, boolean `[size]`; None before the first run."""
        return self._mask

    def set_mask(self) -> Tensor:
        """Draws the mask and sets it on the population before.

        Raises:
            TypeError: the module does not follow one population.
        """
        neurons = self._predecessor()
        kept = torch.rand(self.size) > self._dropout if self.training else torch.ones(self.size, dtype=torch.bool)
        self._mask = kept
        neurons.mask = kept
        return kept

    def _predecessor(self) -> AELIF:
        before = self.experiment.modules.sources_of(self)
        if len(before) != 1:
            raise TypeError(f"The BatchDropout module expects one module to preceed it, got {len(before)}.")
        if not isinstance(before[0], AELIF):
            raise TypeError("The BatchDropout module is only allowed to succeed a Neuron module.")
        return before[0]

    def forward_func(self, input: Any) -> Any:
        """The handle of the spikes that are left."""
        mask = self.set_mask() if self._mask is None else self._mask
        return LIFObservables(spikes=batch_dropout(input.spikes, mask.to(input.spikes.device)))

    def extra_repr(self) -> str:
        return f"size={self.size}, dropout={self._dropout}"
