"""What the converters of a chip give of one observable."""

from dataclasses import dataclass
from typing import Optional

from torch import Tensor


@dataclass
class AnalogObservable:
    """An analog observable as two converters see it.

    Attributes:
        cadc: `[time, batch, neuron]`, on the time grid of the experiment, in model units.
        madc: `[2, sample, batch]`: times [s] and values [LSB] of one neuron.
    """

    cadc: Optional[Tensor] = None
    madc: Optional[Tensor] = None
