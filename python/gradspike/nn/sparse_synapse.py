"""Projections of which only the existing connections are kept."""

from typing import Callable, NamedTuple, Optional, Union

import torch
from torch import Tensor

from gradspike.functional._weights import WeightStatistics, hardware_weights, weight_statistics
from gradspike.nn._checks import check_size, choice, name_of
from gradspike.nn.synapse import _bounds, _initial_sigma, _scale, default_scale


class SparseSynapse(torch.nn.Module):
    """Projection with one weight per existing connection, whose forward uses the integers that the chip holds.

    `forward(spikes [.., in_features]) -> [.., out_features]`, see `gradspike.functional.sparse_graded_spikes`.

    Args:
        connections: `[in_features, out_features]`, dense or sparse: every entry other than 0 is a connection. This is
            transposed with respect to a weight, as hxtorch takes it; `from_index` takes a list of pairs.
        name: Name of the projection; default: the path of the module in the network.
        scale: Model weight to LSB, above 0. Default: `default_scale` of the mean number of connections per neuron.
        min_weight: Lower bound [LSB], an integer at most 0.
        max_weight: Upper bound [LSB], an integer at least 0.
        receptor: "excitatory" sets the bounds to [0, max_weight], "inhibitory" to [min_weight, 0]; None or "signed"
            keeps both.
        rounding: "half_even", "half_away", or "none" for a float product.
        gradient: Straight-through rule to the weight: "clipped", "identity" or "returning".
        units: "model", or "lsb" to leave the sum in LSB.
        transform: Module or function from the parameter to the weight that is quantised; None: the parameter itself.
        device: Device of the parameter and the connections.
        dtype: dtype of the parameter.

    Attributes:
        weight: Parameter `[connections]`.
        connections: Buffer, int64 `[2, connections]`: rows post and pre, sorted by post, then pre.
        projection: The name, "" where none was given.

    Note:
        On a chip only the existing connections take synapses. Reading the layer as the first of a network without an
        example takes `in_features` from here.

    Example:
        >>> synapse = SparseSynapse(torch.eye(5))
        >>> synapse(torch.zeros(38, 1, 5)).shape, synapse.weight.shape
        (torch.Size([38, 1, 5]), torch.Size([5]))
    """

    connections: Tensor

    def __init__(
        self,
        connections: Tensor,
        *,
        name: Optional[str] = None,
        scale: Optional[float] = None,
        min_weight: float = -63,
        max_weight: float = 63,
        receptor: Optional[str] = None,
        rounding: str = "half_even",
        gradient: str = "clipped",
        units: str = "model",
        transform: Optional[Callable[[Tensor], Tensor]] = None,
        device: Optional[Union[torch.device, str]] = None,
        dtype: Optional[torch.dtype] = None,
    ) -> None:
        super().__init__()
        index, self.in_features, self.out_features = (
            connections if isinstance(connections, _Pairs) else _pairs_of(connections)
        )
        check_size("SparseSynapse", "in_features", self.in_features)
        check_size("SparseSynapse", "out_features", self.out_features)
        self.projection = name_of("SparseSynapse", name)
        self.receptor = "signed" if receptor is None else receptor
        self.min_weight, self.max_weight = _bounds(self.receptor, min_weight, max_weight, "SparseSynapse")
        self.fan_in = _mean_fan_in(index)
        self.scale = _scale(scale, default_scale(self.fan_in, self.min_weight, self.max_weight), "SparseSynapse")
        self.rounding = choice("SparseSynapse", "rounding", rounding, ("half_even", "half_away", "none"))
        self.gradient = choice("SparseSynapse", "gradient", gradient, ("clipped", "identity", "returning"))
        self.units = choice("SparseSynapse", "units", units, ("model", "lsb"))
        self.transform = transform
        where = index.device if device is None else torch.device(device)
        self.register_buffer("connections", index.to(where))
        self.weight = torch.nn.Parameter(torch.empty(index.shape[1], device=where, dtype=dtype))
        self.reset_parameters()

    @classmethod
    def from_index(cls, index: Tensor, in_features: int, out_features: int, **options: object) -> "SparseSynapse":
        """A projection from pairs: `index` is `[2, connections]` with rows (post, pre), in any order, each pair once.

        `options` are those of the constructor.

        Example:
            >>> SparseSynapse.from_index(torch.tensor([[0, 1], [2, 0]]), in_features=3, out_features=2).to_dense().shape
            torch.Size([2, 3])
        """
        check_size("SparseSynapse", "in_features", in_features)
        check_size("SparseSynapse", "out_features", out_features)
        if not isinstance(index, Tensor):
            raise TypeError(f"SparseSynapse: index must be a tensor, got {type(index).__name__}")
        if index.dim() != 2 or index.shape[0] != 2 or index.dtype != torch.int64:
            raise ValueError(
                f"SparseSynapse: index must be int64 of shape [2, connections], got {index.dtype} of shape "
                f"{list(index.shape)}"
            )
        limits = torch.tensor([[out_features], [in_features]], device=index.device)
        if bool(((index < 0) | (index >= limits)).any()):
            raise ValueError(f"SparseSynapse: index must lie within [{out_features}, {in_features}], got one outside")
        pairs = index[:, torch.argsort(index[0] * in_features + index[1])].contiguous()
        if bool((pairs[:, 1:] == pairs[:, :-1]).all(0).any()):
            raise ValueError("SparseSynapse: index must hold each pair once, got a repetition")
        return cls(_Pairs(pairs, in_features, out_features), **options)  # type: ignore[arg-type]

    def reset_parameters(self) -> None:
        """Draws the weight as `Synapse` does, from the mean number of connections of the neurons that have any."""
        with torch.no_grad():
            self.weight.normal_(0.0, _initial_sigma(self.fan_in))
            if self.receptor == "excitatory":
                self.weight.abs_()
            if self.receptor == "inhibitory":
                self.weight.abs_().neg_()

    def effective_weight(self) -> Tensor:
        """The weight that is quantised: the parameter after transform, `[connections]`."""
        weight: Tensor = self.weight
        if self.transform is not None:
            weight = self.transform(weight)
        return weight

    def forward(self, spikes: Tensor) -> Tensor:
        result: Tensor = torch.ops.gradspike.sparse_graded_spikes(
            spikes,
            self.effective_weight(),
            self.connections,
            self.out_features,
            self.scale,
            self.min_weight,
            self.max_weight,
            rounding=self.rounding,
            gradient=self.gradient,
            units=self.units,
            projection=self.projection,
        )
        return result

    def to_dense(self) -> Tensor:
        """The effective weight as a matrix `[out_features, in_features]`, 0 where no connection exists."""
        weight = self.effective_weight()
        matrix = torch.zeros(self.out_features, self.in_features, device=weight.device, dtype=weight.dtype)
        return matrix.index_put((self.connections[0], self.connections[1]), weight)

    def connection_list(self) -> Tensor:
        """The existing connections as int32 `[connections, 3]`, rows (pre, post, integer weight), post outer."""
        rounding = "half_even" if self.rounding == "none" else self.rounding
        weight = self.effective_weight().detach()
        integers = hardware_weights(weight, self.scale, self.min_weight, self.max_weight, rounding)
        return torch.stack((self.connections[1].int(), self.connections[0].int(), integers.int()), dim=1)

    def statistics(self) -> WeightStatistics:
        """Statistics of the existing connections; waits for the device. The hash is that of a matrix of one row."""
        rounding = "half_even" if self.rounding == "none" else self.rounding
        weight = self.effective_weight().detach().unsqueeze(0)
        return weight_statistics(weight, self.scale, self.min_weight, self.max_weight, rounding)

    def extra_repr(self) -> str:
        text = f"{self.in_features}, {self.out_features}, connections={self.weight.numel()}, scale={self.scale:g}, "
        text += f"weights=[{self.min_weight:g}, {self.max_weight:g}]"
        for attribute, default in (("rounding", "half_even"), ("gradient", "clipped"), ("units", "model")):
            value = getattr(self, attribute)
            text += "" if value == default else f", {attribute}={value}"
        return text + (f", name={self.projection}" if self.projection else "")


class _Pairs(NamedTuple):
    """int64 `[2, connections]`, rows post and pre, sorted by post, then pre, and the sizes."""

    pairs: Tensor
    in_features: int
    out_features: int


def _pairs_of(connections: Tensor) -> _Pairs:
    """The entries other than 0 of `[in, out]`."""
    if not isinstance(connections, Tensor) or connections.dim() != 2:
        got = f"{connections.dim()} dimensions" if isinstance(connections, Tensor) else type(connections).__name__
        raise ValueError(f"SparseSynapse: connections must be a tensor [in_features, out_features], got {got}")
    matrix = connections.detach()
    if matrix.layout == torch.strided:
        index = matrix.t().nonzero().t()
    else:
        transposed = matrix.to_sparse_coo().t().coalesce()  # sorted by post, then pre
        index = transposed.indices()[:, transposed.values() != 0]
    return _Pairs(index.contiguous(), int(connections.shape[0]), int(connections.shape[1]))


def _mean_fan_in(index: Tensor) -> int:
    neurons = int(index[0].unique().numel())
    return max(1, round(index.shape[1] / max(neurons, 1)))
