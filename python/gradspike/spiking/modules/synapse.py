"""Dense projections."""

import gc
import itertools
import math
import warnings
from typing import Any, Callable, Iterable, List, Optional, Tuple, Union

import torch
from torch import Tensor

from gradspike import functional
from gradspike.spiking.handle import SynapseHandle
from gradspike.spiking.modules.types import Projection, ProjectionConnection
from gradspike.spiking.transforms.weight_transforms import (
    CHIP_RANGE,
    LinearTransform,
    linear_saturating,
    linear_transform,
    rounded,
    transformed,
)

_LARGEST = 32767.0
"""Bound of the integers of an arbitrary transform [LSB]: what the chip's file formats hold."""


class Synapse(Projection):
    """Dense projection: `graded_spikes = spikes @ weight.T`.

    The simulation computes with the float weight; transform and receptor decide what the chip holds
    (`hardware_weight`). With `hardware_weights=True` the simulation computes with the integers of the chip too: what is
    trained is then what is deployed.

    Args:
        in_features: Number of pre-synaptic neurons.
        out_features: Number of post-synaptic neurons.
        experiment: The experiment.
        chip_coordinate: Stored as it is; see `Projection`.
        device: Device of the weight.
        dtype: dtype of the weight.
        transform: From the weight to LSB: `linear_saturating`, bound by `functools.partial`, or any function. Read
            again at each use, so that a script may change its keywords between batches.
        plasticity_rule: A rule with `kernel` and `timer`; needs a receptor.
        receptor: None: signed; "excitatory" or "inhibitory": the chip holds the weights of that sign, 0 elsewhere;
            both names in a collection: signed.
        execution_instance: Execution instance of the projection.
        hardware_weights: Whether the simulation computes with the integers; None: as the experiment says.
        weight_scale: Model weight to LSB of a transform that is not `linear_saturating`: what one LSB is worth in the
            model. Needed by `hardware_weights` there. Such a transform fills one synapse, -63 to 63.
        name: Name on the chip and in files.

    Attributes:
        weight: Parameter `[out_features, in_features]`, the only entry of `state_dict`.
        weight_transform: The transform, as it was given.

    Raises:
        ValueError: receptor or plasticity_rule does not fit, see `Projection`.

    Example:
        >>> import gradspike.spiking as hxsnn
        >>> experiment = hxsnn.Experiment(mock=True)
        >>> synapse = hxsnn.Synapse(3, 2, experiment)
        >>> handle = synapse(hxsnn.LIFObservables(spikes=torch.ones(5, 1, 3)))
        >>> hxsnn.run(experiment, 5)
        >>> handle.graded_spikes.shape
        torch.Size([5, 1, 2])
    """

    output_type = SynapseHandle

    def __init__(
        self,
        in_features: int,
        out_features: int,
        experiment: Any,
        chip_coordinate: Any = None,
        device: Optional[Union[torch.device, str]] = None,
        dtype: Optional[torch.dtype] = None,
        transform: Callable[..., Tensor] = linear_saturating,
        plasticity_rule: Any = None,
        receptor: Union[str, Iterable[str], None] = None,
        *,
        execution_instance: Any = None,
        hardware_weights: Optional[bool] = None,
        weight_scale: Optional[float] = None,
        name: Optional[str] = None,
    ) -> None:
        super().__init__(experiment, chip_coordinate, receptor, plasticity_rule, execution_instance, name)
        self.in_features = in_features
        self.out_features = out_features
        self.weight_transform: Any = transform  # scripts set its keywords
        self.hardware_weights = hardware_weights
        self.weight_scale = weight_scale
        self._written: Any = None
        self.weight = torch.nn.Parameter(torch.empty(self._weight_shape(), device=device, dtype=dtype))
        self.reset_parameters()

    def _weight_shape(self) -> Tuple[int, int]:
        return (self.out_features, self.in_features)

    def reset_parameters(self) -> None:
        """Draws the weight uniformly from +-1/sqrt(in_features), as `torch.nn.Linear` does."""
        torch.nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    # Simulation

    def forward_func(self, input: Any) -> Any:
        """The handle of the graded spikes of a handle of spikes."""
        return SynapseHandle(graded_spikes=self.graded_spikes(self._spikes_of(input)))

    def graded_spikes(self, spikes: Tensor) -> Tensor:
        """`[..., in_features] -> [..., out_features]`, with float weights or those of the chip."""
        weight, scale, low, high, rounding = self.arithmetic()
        return functional.graded_spikes(spikes, weight, scale, low, high, rounding)

    def arithmetic(self) -> Tuple[Tensor, float, float, float, str]:
        """What the simulation computes with: weight, scale, bounds and rounding of `functional.graded_spikes`."""
        if not self.uses_hardware_weights:
            return self.weight, 1.0, -63.0, 63.0, "none"
        linear = self.linear()
        if linear is not None:
            return (self.weight, *linear.within(self.receptor), "half_even")
        scale = self.lsb_per_unit()
        if scale is None:
            raise ValueError(
                f"{self._describe()}: hardware_weights=True needs weight_scale= where the transform is not "
                "linear_saturating: what one LSB is worth in the model cannot be known"
            )
        integers = rounded(self.weight_transform(self.weight.clone()))
        return (integers / scale, *CHIP_RANGE._replace(scale=scale).within(self.receptor), "half_even")

    def linear(self) -> Optional[LinearTransform]:
        """Scale and bounds where the transform is `linear_saturating` with bounds that the chip can hold; else None."""
        linear = linear_transform(self.weight_transform)
        return linear if linear is not None and linear.holds_integers else None

    def lsb_per_unit(self) -> Optional[float]:
        """Model weight to LSB: `weight_scale`, or the scale of `linear_saturating`; None where neither is known."""
        linear = linear_transform(self.weight_transform)
        if self.weight_scale is not None:
            return float(self.weight_scale)
        return None if linear is None else linear.scale

    @property
    def uses_hardware_weights(self) -> bool:
        """Whether the simulation computes with the integers of the chip."""
        chosen = self.hardware_weights
        return bool(getattr(self.experiment, "hardware_weights", False) if chosen is None else chosen)

    def _spikes_of(self, input: Any) -> Tensor:
        spikes = input.spikes if hasattr(input, "spikes") else None
        if not isinstance(spikes, Tensor):
            raise TypeError(f"{self._describe()}: input must be a handle with spikes, got {input!r}")
        if spikes.device != self.weight.device:
            raise ValueError(
                f"{self._describe()}: spikes must be on the device of the weight, {self.weight.device}, got "
                f"{spikes.device}: move the input or the module with .to()"
            )
        if spikes.dim() == 0 or spikes.shape[-1] != self.in_features:
            raise ValueError(
                f"{self._describe()}: spikes must be [time, batch, {self.in_features}], got {list(spikes.shape)}"
            )
        return spikes

    # What the chip holds

    def hardware_weight(self) -> Tensor:
        """The integers that a backend holds, int32 `[out_features, in_features]` on the CPU.

        A transform that is not `linear_saturating` is clipped to one synapse, -63 to 63; with a receptor, weights of
        the other sign are 0. `get_connections` has neither.

        Raises:
            RuntimeError: a weight is NaN.
        """
        weight, linear = self._content()
        return self._integers(weight, (linear or CHIP_RANGE).within(self.receptor))

    def _unclipped(self) -> Tensor:
        """The integers before receptor and range of a synapse."""
        linear = self.linear()
        weight = self.transformed_weight() if linear is None else self.weight.detach()
        return self._integers(weight, linear or LinearTransform(1.0, -_LARGEST, _LARGEST))

    def _integers(self, weight: Tensor, arithmetic: LinearTransform) -> Tensor:
        if bool(weight.isnan().any()):
            index = weight.isnan().nonzero()[0].tolist()
            raise RuntimeError(f"{self._describe()}: weight must not be NaN, got NaN at index {index}")
        return functional.hardware_weights(weight, *arithmetic).to(device="cpu", dtype=torch.int32)

    def warn_of_clipped_weights(self) -> None:
        """One UserWarning where weights of a transform of the user do not fit one synapse; called before a backend or a
        file gets them.
        """
        if self.linear() is not None:
            return
        beyond = int((self._existing(self.transformed_weight()).round().abs() > CHIP_RANGE.max_weight).sum())
        if beyond:
            warnings.warn(
                f"{self._describe()}: weight_transform gives {beyond} weights beyond -63..63 LSB, which are clipped; "
                "let it end at 63, get_connections() has the values before",
                stacklevel=2,
            )

    def _existing(self, weight: Tensor) -> Tensor:
        """The entries of a tensor like the weight at which there is a connection."""
        return weight

    def transformed_weight(self) -> Tensor:
        """What the transform makes of the weight [LSB], before it is rounded."""
        return transformed(self.weight_transform, self.weight.detach())

    def connection_array(self) -> Tensor:
        """`get_connections` as int32 `[connections, 3]`: rows (pre, post, weight), post outer and pre inner."""
        integers = self._unclipped()
        post, pre = (torch.arange(size, dtype=torch.int32) for size in self._weight_shape())
        rows = torch.empty(*self._weight_shape(), 3, dtype=torch.int32)
        rows[..., 0], rows[..., 1], rows[..., 2] = pre, post.unsqueeze(1), integers
        return rows.reshape(-1, 3)

    def get_connections(self) -> List[Tuple[int, int, float]]:
        """What the transform makes of the connections, as `(pre, post, weight)`.

        Weights are rounded half to even, zeros are included; the order is row-major over the weight: post outer, pre
        inner. As in hxtorch, values are signed, whatever the receptor is, and a transform that is not
        `linear_saturating` is not clipped to the range of a synapse: `hardware_weight` is what a backend holds.
        `connection_array` gives the same as a tensor, faster.
        """
        post, pre = self._weight_shape()
        weights = self._unclipped().flatten().tolist()
        posts = itertools.chain.from_iterable(map(itertools.repeat, range(post), itertools.repeat(pre)))
        return as_connections(zip(list(range(pre)) * post, posts, weights))

    # Changes

    @property
    def changed_input_data(self) -> bool:
        """Whether weights or transform differ, by content, from what was recorded last; True before that.

        What a transform of the user makes counts as far as a synapse holds it: from 70 to 80 LSB nothing changes.
        """
        if self._written is None:
            return True
        weight, linear = self._content()
        return not (linear == self._written[1] and _same(self._written[0], weight))

    @changed_input_data.setter
    def changed_input_data(self, value: bool) -> None:
        """Records the present content; the value does not matter."""
        if "weight" in self._parameters:
            weight, linear = self._content()
            self._written = (weight.clone(), linear)

    @property
    def changed_since_last_run(self) -> bool:
        """Another name of `changed_input_data`."""
        return self.changed_input_data

    def reset_changed_since_last_run(self) -> None:
        """Records the present content."""
        self.changed_input_data = False

    def _content(self) -> Tuple[Tensor, Optional[LinearTransform]]:
        """What the integers come from: the weight and its transform, or what a transform of the user makes of it.

        The latter within the range of a synapse.
        """
        linear = self.linear()
        if linear is not None:
            return self.weight.detach(), linear
        return self.transformed_weight().clamp(CHIP_RANGE.min_weight, CHIP_RANGE.max_weight), None

    def extra_repr(self) -> str:
        receptor = "" if self._signed_projection else f", receptor={self.receptor}"
        return f"in_features={self.in_features}, out_features={self.out_features}{receptor}"


def as_connections(triples: Iterable[Tuple[int, int, float]]) -> List[Tuple[int, int, float]]:
    """Triples as `ProjectionConnection`, without the collector, which would search the many objects again and again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return list(map(tuple.__new__, itertools.repeat(ProjectionConnection), triples))
    finally:
        if collecting:
            gc.enable()


def _same(ours: Tensor, theirs: Tensor) -> bool:
    """Equal bits of content, where NaN equals itself; a tensor that was moved counts by its content."""
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return False
    ours = ours.to(theirs.device)
    return bool(torch.equal(ours, theirs) or ((ours == theirs) | (ours.isnan() & theirs.isnan())).all())
