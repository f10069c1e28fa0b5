"""Measured values in the place of computed ones."""

from typing import Any, Optional, Tuple

import torch
from torch import Tensor


class Unterjubel(torch.autograd.Function):
    """`Unterjubel.apply(computed, measured)` gives `measured`, and its gradient to `computed`.

    Source: in-the-loop training, Schmitt et al. 2017, doi 10.1109/IJCNN.2017.7966125.

    Example:
        >>> computed = torch.zeros(2, requires_grad=True)
        >>> value = Unterjubel.apply(computed, torch.ones(2))
        >>> value.sum().backward()
        >>> value.detach(), computed.grad
        (tensor([1., 1.]), tensor([1., 1.]))
    """

    @staticmethod
    def forward(ctx: Any, computed: Tensor, measured: Tensor) -> Tensor:
        return measured.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tuple[Tensor, None]:
        return gradients[0], None


def input_neuron(input: Tensor, hw_data: Optional[Tensor] = None) -> Tensor:
    """The input, or the first steps of `hw_data` with the gradient to the input."""
    if hw_data is None:
        return input
    if hw_data.shape[0] < input.shape[0]:  # what was not measured stays the input
        hw_data = torch.cat([hw_data.to(input), input[hw_data.shape[0] :].detach()])
    result: Tensor = Unterjubel.apply(input, hw_data[: input.shape[0]].to(input))
    return result


def batch_dropout(input: Tensor, mask: Tensor) -> Tensor:
    """`input * mask`, without rescaling by 1 / (1 - p).

    Args:
        input: Spikes `[time, batch, neuron]`.
        mask: Boolean `[neuron]`: neurons that stay.
    """
    return input * mask
