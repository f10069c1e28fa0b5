"""Projections of which only some connections exist."""

from typing import Any, Callable, List, Optional, Tuple, Union

import torch
from torch import Tensor

from gradspike import functional
from gradspike.spiking.modules.synapse import Synapse, as_connections
from gradspike.spiking.transforms.weight_transforms import linear_saturating

_DENSE_SHARE = 0.25
"""Share of existing connections above which the dense product is the faster one."""


class SparseSynapse(Synapse):
    """Projection of which only some connections exist, with a dense weight that is 0 elsewhere.

    `gradspike.nn.SparseSynapse` has one weight per connection instead.

    Args:
        connections: `[in_features, out_features]`, dense or sparse; every entry other than 0 is a connection. This is
            transposed with respect to the weight.
        experiment: The experiment.
        chip_coordinate: Stored as it is.
        device: Device of the weight.
        dtype: dtype of the weight.
        transform: As in `Synapse`.
        receptor: As in `Synapse`; gradspike's own.
        execution_instance: As in `Synapse`.
        hardware_weights: As in `Synapse`.
        weight_scale: As in `Synapse`.
        name: As in `Synapse`.

    Attributes:
        connections: Two lists, post-synaptic and pre-synaptic neurons, sorted by post, then pre.
        mask: Boolean `[out_features, in_features]`; moves with the module, and is no part of `state_dict`.

    Note:
        The gradient is 0 where no connection exists.

    Example:
        >>> import gradspike.spiking as hxsnn
        >>> synapse = hxsnn.SparseSynapse(torch.eye(2), hxsnn.Experiment(mock=True))
        >>> [connection[:2] for connection in synapse.get_connections()]
        [(0, 0), (1, 1)]
    """

    mask: Tensor
    _index: Tensor

    def __init__(
        self,
        connections: Tensor,
        experiment: Any,
        chip_coordinate: Any = None,
        device: Optional[Union[torch.device, str]] = None,
        dtype: Optional[torch.dtype] = None,
        transform: Callable[..., Tensor] = linear_saturating,
        *,
        receptor: Any = None,
        execution_instance: Any = None,
        hardware_weights: Optional[bool] = None,
        weight_scale: Optional[float] = None,
        name: Optional[str] = None,
    ) -> None:
        if not isinstance(connections, Tensor) or connections.dim() != 2:
            got = f"{connections.dim()} dimensions" if isinstance(connections, Tensor) else type(connections).__name__
            raise ValueError(f"SparseSynapse: connections must be a tensor [in_features, out_features], got {got}")
        dense = connections.detach().to_dense() if connections.layout != torch.strided else connections.detach()
        mask = (dense != 0).t().contiguous()
        self.__dict__["_connection_mask"] = mask
        super().__init__(
            int(dense.shape[0]),
            int(dense.shape[1]),
            experiment,
            chip_coordinate,
            device,
            dtype,
            transform,
            receptor=receptor,
            execution_instance=execution_instance,
            hardware_weights=hardware_weights,
            weight_scale=weight_scale,
            name=name,
        )
        self.bias = None
        del self.__dict__["_connection_mask"]
        index = mask.nonzero().t().contiguous()
        self.register_buffer("mask", mask.to(self.weight.device), persistent=False)
        self.register_buffer("_index", index.to(self.weight.device), persistent=False)
        self.connections = index.tolist()

    def reset_parameters(self) -> None:
        """As `Synapse`, and 0 where no connection exists."""
        super().reset_parameters()
        mask = self.__dict__.get("_connection_mask")
        with torch.no_grad():
            self.weight.mul_((self.mask if mask is None else mask).to(self.weight))

    def arithmetic(self) -> Tuple[Tensor, float, float, float, str]:
        """As `Synapse`, with 0 where no connection exists: also in the parameter, which an optimizer may have moved."""
        with torch.no_grad():
            self.weight.masked_fill_(~self.mask, 0)
        weight, scale, low, high, rounding = super().arithmetic()
        return weight * self.mask, scale, low, high, rounding

    def graded_spikes(self, spikes: Tensor) -> Tensor:
        """`[..., in_features] -> [..., out_features]`."""
        weight, scale, low, high, rounding = self.arithmetic()
        if self._index.shape[1] > _DENSE_SHARE * self.mask.numel():
            return functional.graded_spikes(spikes, weight, scale, low, high, rounding)
        values = weight[self._index[0], self._index[1]]
        return functional.sparse_graded_spikes(
            spikes, values, self._index, self.out_features, scale, low, high, rounding=rounding
        )

    def hardware_weight(self) -> Tensor:
        """As `Synapse`, and 0 where no connection exists, whatever the transform makes of 0."""
        return super().hardware_weight() * self.mask.cpu()

    def _existing(self, weight: Tensor) -> Tensor:
        return weight[self.mask]

    def connection_array(self) -> Tensor:
        """`get_connections` as int32 `[connections, 3]`: rows (pre, post, weight), sorted by post, then pre."""
        post, pre = self._index.cpu()
        return torch.stack((pre.int(), post.int(), self._unclipped()[post, pre]), dim=1)

    def get_connections(self) -> List[Tuple[int, int, float]]:
        """The existing connections as `(pre, post, weight)`, sorted by post, then pre."""
        return as_connections(self.connection_array().tolist())
