"""Dense projections."""

import math
import warnings
from typing import TYPE_CHECKING, Callable, Optional, Tuple, Union

import torch
from torch import Tensor

from gradspike.functional._prepacked import prepack
from gradspike.functional._synapses import graded_spikes
from gradspike.functional._weights import WeightStatistics, suggest_scale, weight_statistics
from gradspike.nn._checks import check_size, choice, name_of, positive
from gradspike.nn.plasticity import PlasticityRule
from gradspike.nn.prepacked_synapse import PrepackedSynapse

_SPIKES_PER_STEP = 0.05
"""Expected spikes per input and step of the default initialisation: sparse input, as time-to-first-spike codes give."""

_SQUARED_PSP = 2.5
"""Sum over steps of the squared response of the default neuron to one input of weight 1: tau / (4 dt) for
tau_mem = tau_syn = tau = 10 dt and unit gain, the integral of ((t / tau) exp(-t / tau))**2."""

_SIGMAS_IN_RANGE = 2.5
"""Bounds of the default scale in standard deviations of the initial weight: 1.2 % of a normal weight clips, and with
the power of two below, at most 4 % of it lies within half an LSB of zero."""


class Synapse(torch.nn.Module):
    """Dense projection whose forward pass uses the integers that the chip holds.

    `forward(spikes [.., in_features]) -> [.., out_features]`, see `gradspike.functional.graded_spikes`.

    Args:
        in_features: Number of pre-synaptic neurons, at least 1.
        out_features: Number of post-synaptic neurons, at least 1.
        name: Name of the projection on the chip; default: the path of the module in the network that is read.
        scale: Model weight to LSB, above 0. Default: `default_scale`, from sizes and initialisation. A tensor without
            dimensions becomes a buffer, a `torch.nn.Parameter` is trained: then `torch.compile` does not compile anew
            when it changes.
        min_weight: Lower bound [LSB], an integer at most 0.
        max_weight: Upper bound [LSB], an integer at least 0; beyond 63 an input needs several synapse rows.
        receptor: "excitatory" sets the bounds to [0, max_weight], "inhibitory" to [min_weight, 0]; None or "signed"
            keeps both.
        rounding: "half_even", "half_away", or "none" for a float product.
        gradient: Straight-through rule to the weight: "clipped", "identity" or "returning".
        units: "model", or "lsb" to leave the sum in LSB.
        transform: Module or function from the parameter to the weight that is quantised; None: the parameter itself.
        mask: Boolean `[out_features, in_features]`, False where no connection exists; kept as a buffer.
        plasticity_rule: A program that the chip runs on these synapses; for unsigned projections.
        device: Device of the parameter.
        dtype: dtype of the parameter.

    Attributes:
        weight: Parameter `[out_features, in_features]`.
        projection: The name, "" where none was given.

    Example:
        >>> synapse = Synapse(5, 120, name="hidden")
        >>> synapse(torch.zeros(38, 1, 5)).shape
        torch.Size([38, 1, 120])
    """

    if TYPE_CHECKING:  # at run time the annotations would hide from TorchScript what the attributes are
        mask: Optional[Tensor]
        scale: Union[float, Tensor]

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        name: Optional[str] = None,
        scale: Union[float, Tensor, None] = None,
        min_weight: float = -63,
        max_weight: float = 63,
        receptor: Optional[str] = None,
        rounding: str = "half_even",
        gradient: str = "clipped",
        units: str = "model",
        transform: Optional[Callable[[Tensor], Tensor]] = None,
        mask: Optional[Tensor] = None,
        plasticity_rule: Optional[PlasticityRule] = None,
        device: Optional[Union[torch.device, str]] = None,
        dtype: Optional[torch.dtype] = None,
    ) -> None:
        super().__init__()
        check_size("Synapse", "in_features", in_features)
        check_size("Synapse", "out_features", out_features)
        self.in_features = in_features
        self.out_features = out_features
        self.projection = name_of("Synapse", name)
        self.receptor = "signed" if receptor is None else receptor
        self.min_weight, self.max_weight = _bounds(self.receptor, min_weight, max_weight)
        self._set_scale(scale)
        self.rounding = choice("Synapse", "rounding", rounding, ("half_even", "half_away", "none"))
        self.gradient = choice("Synapse", "gradient", gradient, ("clipped", "identity", "returning"))
        self.units = choice("Synapse", "units", units, ("model", "lsb"))
        self.transform = transform
        self.plasticity_rule = _plasticity(plasticity_rule, self.receptor, self.min_weight, self.max_weight)
        self.weight = torch.nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        self.register_buffer("mask", _mask(mask, out_features, in_features, device))
        self._checked = False
        self.reset_parameters()

    def _set_scale(self, scale: Union[float, Tensor, None]) -> None:
        if not isinstance(scale, Tensor):
            self.scale = _scale(scale, default_scale(self.in_features, self.min_weight, self.max_weight))
            return
        if scale.dim() != 0 or not scale.is_floating_point():
            raise ValueError(
                f"Synapse: scale must be a number or a floating-point tensor without dimensions, got {scale.dtype} of "
                f"shape {list(scale.shape)}"
            )
        if not scale.is_meta and _holds_numbers(scale) and scale.device.type == "cpu":
            positive("Synapse", "scale", float(scale.detach()))
        if isinstance(scale, torch.nn.Parameter):
            self.register_parameter("scale", scale)
        else:
            self.register_buffer("scale", scale)

    def reset_parameters(self) -> None:
        """Draws the weight from normal(0, sigma), sigma = 1/sqrt(in_features * nu * eps2).

        nu = 0.05 spikes per input and step and eps2 = 2.5, the sum of the squared response of the default neuron: the
        membrane then fluctuates with a standard deviation of about 1, the default threshold. Excitatory and inhibitory
        projections take the magnitude with their sign.

        Source: fluctuation-driven initialisation, Rossbroich, Gygax and Zenke 2022, doi 10.1088/2634-4386/ac97bb.
        """
        self._checked = False
        if self.weight.is_meta:
            return  # there are no numbers, and to draw them PyTorch would load its compiler, which takes seconds
        with torch.no_grad():
            self.weight.normal_(0.0, _initial_sigma(self.in_features))
            if self.receptor == "excitatory":
                self.weight.abs_()
            if self.receptor == "inhibitory":
                self.weight.abs_().neg_()
        self.check_weights()

    def effective_weight(self) -> Tensor:
        """The weight that is quantised: the parameter after transform and mask."""
        weight: Tensor = self.weight
        if self.transform is not None:
            weight = self.transform(weight)
        mask = self.mask
        if mask is not None:
            weight = weight * mask
        return weight

    def forward(self, spikes: Tensor) -> Tensor:
        if not torch.jit.is_scripting():
            self._check_first_forward()
            return graded_spikes(
                spikes,
                self.effective_weight(),
                self.scale,
                self.min_weight,
                self.max_weight,
                self.rounding,
                self.gradient,
                self.units,
                self.projection,
            )
        result: Tensor = torch.ops.gradspike.graded_spikes(
            spikes,
            self.effective_weight(),
            self.scale,
            self.min_weight,
            self.max_weight,
            rounding=self.rounding,
            gradient=self.gradient,
            units=self.units,
            projection=self.projection,
        )
        return result

    def prepacked(self) -> PrepackedSynapse:
        """The projection for inference loops, with the weights of this moment: the same bits, no gradient.

        Raises:
            ValueError: the synapse computes with `rounding="none"`, for which there are no integers to pack.
        """
        if self.rounding == "none":
            raise ValueError("prepacked: rounding must be 'half_even' or 'half_away', got 'none'")
        with torch.no_grad():
            weight = self.effective_weight()
        packed = prepack(weight, self._scale_number(), self.min_weight, self.max_weight, self.rounding)
        return PrepackedSynapse(packed, self.units, self.projection)

    def statistics(self) -> WeightStatistics:
        """Statistics of the effective weight; waits for the device. `rounding="none"` counts as "half_even"."""
        with torch.no_grad():
            weight = self.effective_weight()
        rounding = "half_even" if self.rounding == "none" else self.rounding
        return weight_statistics(weight, self._scale_number(), self.min_weight, self.max_weight, rounding)

    def _scale_number(self) -> float:
        return float(self.scale.detach()) if isinstance(self.scale, Tensor) else self.scale

    def check_weights(self) -> WeightStatistics:
        """Statistics of the weight; warns where every weight other than zero rounds to zero. Waits for the device.

        Runs by itself after initialisation and, where that did not warn, at the first eager call on a CPU
        outside the transforms of torch.func.
        """
        statistics = self.statistics()
        if statistics.to_zero > 0 and statistics.largest <= 0.5:
            self._checked = True
            suggested = suggest_scale(self.effective_weight().detach(), self.min_weight, self.max_weight)
            warnings.warn(
                f"Synapse{_label(self.projection)}: all weights round to zero, the largest is {statistics.largest:.3g} "
                f"LSB: try scale={suggested.scale:g} instead of {self._scale_number():g}",
                stacklevel=3,
            )
        return statistics

    def _check_first_forward(self) -> None:
        """Never on CUDA, where reading a number would wait for the device, nor while traced or in torch.func."""
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or self._checked:
            return
        if torch._C._functorch.peek_interpreter_stack() is not None:
            return  # weight, scale, mask or transform may be mapped: the next call outside checks
        if self.weight.device.type == "cpu" and _holds_numbers(self.weight):
            self._checked = True
            self.check_weights()

    def extra_repr(self) -> str:
        scale = "tensor" if isinstance(self.scale, Tensor) and self.scale.is_meta else f"{self._scale_number():g}"
        text = f"{self.in_features}, {self.out_features}, scale={scale}, "
        text += f"weights=[{self.min_weight:g}, {self.max_weight:g}]"
        for attribute, default in (("rounding", "half_even"), ("gradient", "clipped"), ("units", "model")):
            value = getattr(self, attribute)
            text += "" if value == default else f", {attribute}={value}"
        return text + (f", name={self.projection}" if self.projection else "")


def default_scale(in_features: int, min_weight: float = -63.0, max_weight: float = 63.0) -> float:
    """Scale for the initial weights of `Synapse`: the largest power of two with 2.5 sigma inside the larger bound.

    Under 5 % of the initial weights then clip, and under 5 % round to zero. 1 where both bounds are 0.

    Example:
        >>> default_scale(5), default_scale(120)
        (16.0, 64.0)
    """
    largest = max(max_weight, -min_weight)
    if largest <= 0.0:
        return 1.0
    return 2.0 ** math.floor(math.log2(largest / (_SIGMAS_IN_RANGE * _initial_sigma(in_features))))


def _initial_sigma(in_features: int) -> float:
    return 1.0 / math.sqrt(in_features * _SPIKES_PER_STEP * _SQUARED_PSP)


def _holds_numbers(tensor: Tensor) -> bool:
    """False for fake, distributed and functorch tensors, whose numbers cannot be read."""
    # In this order: under vmap a mapped tensor refuses to show its data.
    return not torch._C._functorch.is_functorch_wrapped_tensor(tensor) and type(tensor.data) is Tensor


def _label(name: str) -> str:
    return f" {name!r}" if name else ""


def _scale(scale: Optional[float], default: float, kind: str = "Synapse") -> float:
    return default if scale is None else positive(kind, "scale", scale)


def _plasticity(
    rule: Optional[PlasticityRule], receptor: str, min_weight: float, max_weight: float
) -> Optional[PlasticityRule]:
    if rule is not None and not isinstance(rule, PlasticityRule):
        raise TypeError(f"Synapse: plasticity_rule must be a PlasticityRule, got {type(rule).__name__}")
    if rule is not None and min_weight < 0 < max_weight:
        raise ValueError(
            "Synapse: a plasticity rule needs an unsigned projection, since a signed weight is two synapses: set "
            f"receptor='excitatory' or receptor='inhibitory', got receptor {receptor!r}"
        )
    return rule


def _bounds(receptor: str, min_weight: float, max_weight: float, kind: str = "Synapse") -> Tuple[float, float]:
    choice(kind, "receptor", receptor, ("signed", "excitatory", "inhibitory"))
    low = 0.0 if receptor == "excitatory" else float(min_weight)
    high = 0.0 if receptor == "inhibitory" else float(max_weight)
    if not low <= 0.0 <= high:
        raise ValueError(f"{kind}: min_weight and max_weight must enclose 0, got {min_weight} and {max_weight}")
    return low, high


def _mask(
    mask: Optional[Tensor], out_features: int, in_features: int, device: Optional[Union[torch.device, str]]
) -> Optional[Tensor]:
    if mask is None:
        return None
    if mask.dtype != torch.bool or tuple(mask.shape) != (out_features, in_features):
        raise ValueError(
            f"Synapse: mask must be boolean of shape [{out_features}, {in_features}], "
            f"got {mask.dtype} of shape {list(mask.shape)}"
        )
    return mask.to(device) if device is not None else mask.clone()
