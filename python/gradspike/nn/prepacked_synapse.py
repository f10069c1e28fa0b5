"""Projections whose weights are made ready once, for inference loops."""

import torch
from torch import Tensor

from gradspike.functional._prepacked import PackedWeights


class PrepackedSynapse(torch.nn.Module):
    """A projection for inference: `Synapse.prepacked()` makes it from the weights of that moment.

    `forward(spikes [.., in_features]) -> [.., out_features]` with the bits of the `Synapse`, without packing its
    weights in each call. It has buffers and no parameters; spikes that require a gradient are refused.

    Args:
        packed: Weights from `gradspike.functional.prepack`.
        units: "model", or "lsb" to leave the sum in LSB.
        name: Name of the projection on the chip; default: the path of the module in the network that is read.

    Note:
        On a chip it has the integers of the `Synapse`, but all connections of the matrix take synapses, also those that
        a mask of the `Synapse` left out.

    Example:
        >>> from gradspike.nn import Synapse
        >>> inference = Synapse(5, 120).eval().prepacked()
        >>> inference(torch.zeros(38, 1, 5)).shape
        torch.Size([38, 1, 120])
    """

    rows: Tensor
    groups: Tensor
    matrix: Tensor
    nan_posts: Tensor

    def __init__(self, packed: PackedWeights, units: str = "model", name: str = "") -> None:
        super().__init__()
        self.register_buffer("rows", packed.rows)
        self.register_buffer("groups", packed.groups)
        self.register_buffer("matrix", packed.matrix)
        self.register_buffer("nan_posts", packed.nan_posts)
        self.in_features, self.out_features = int(packed.rows.shape[0]), packed.out_features
        self.scale, self.min_weight, self.max_weight = packed.scale, packed.min_weight, packed.max_weight
        self.units = units
        self.projection = name

    def forward(self, spikes: Tensor) -> Tensor:
        result: Tensor = torch.ops.gradspike.prepacked_graded_spikes(
            spikes,
            self.rows,
            self.groups,
            self.matrix,
            self.nan_posts,
            self.out_features,
            self.scale,
            self.min_weight,
            self.max_weight,
            units=self.units,
            projection=self.projection,
        )
        return result

    def extra_repr(self) -> str:
        text = f"{self.in_features}, {self.out_features}, scale={self.scale:g}, "
        text += f"weights=[{self.min_weight:g}, {self.max_weight:g}]"
        text += "" if self.units == "model" else f", units={self.units}"
        return text + (f", name={self.projection}" if self.projection else "")
