"""Parameters of neurons: a value for the model and one for the hardware."""

from typing import Any, Callable, Optional

import torch
from torch import Tensor

__all__ = [
    "HXBaseParameter",
    "HXParameter",
    "HXTransformedModelParameter",
    "MixedHXModelParameter",
    "ModelParameter",
    "TrainableHXParameter",
    "TrainableHXTransformedModelParameter",
    "TrainableMixedHXModelParameter",
    "TrainableModelParameter",
    "as_parameter",
]


class HXBaseParameter(torch.nn.Module):
    """Base of the parameters. A trainable one holds its model value as `torch.nn.Parameter`, any other nothing."""

    def __init__(self, model_value: Any) -> None:
        super().__init__()
        self._model_value = model_value
        self._set_on_hw: Optional[Callable[..., Any]] = None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("model_value", "hardware_value"):  # a torch.nn.Parameter would bypass the property
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def model_value(self) -> Any:
        """Value in the model: the number or tensor that the neurons compute with."""
        return self._model_value

    @model_value.setter
    def model_value(self, value: Any) -> None:
        self._set_model_value(value)

    @property
    def hardware_value(self) -> Any:
        """Value on the hardware."""
        return self.model_value_detach()

    @hardware_value.setter
    def hardware_value(self, value: Any) -> None:
        """Follows the model value: setting it has no effect, as in hxtorch."""

    def _set_model_value(self, value: Any) -> None:
        if self.is_trainable() and not isinstance(value, torch.nn.Parameter):
            with torch.no_grad():
                self._model_value.copy_(torch.as_tensor(value))
        else:
            self._model_value = value

    def model_value_detach(self) -> Any:
        """The model value, detached where it is a tensor."""
        return _detached(self.model_value)

    def hardware_value_detach(self) -> Any:
        """The hardware value, detached where it is a tensor."""
        return _detached(self.hardware_value)

    def is_trainable(self) -> bool:
        """Whether the model value is a `torch.nn.Parameter`."""
        return isinstance(self._parameters.get("_model_value"), torch.nn.Parameter)

    def make_trainable(self, set_on_chip_func: Optional[Callable[..., Any]] = None) -> "HXBaseParameter":
        """Turns the model value into a `torch.nn.Parameter`, which appears in the parameters of the neuron.

        Args:
            set_on_chip_func: Writes the value to a chip's configuration, called by `set_on_chip`.

        Returns:
            The parameter itself.
        """
        if not self.is_trainable():
            value = torch.as_tensor(self._model_value)
            if not value.is_floating_point():
                value = value.to(torch.get_default_dtype())
            del self._model_value
            self._model_value = torch.nn.Parameter(value.detach().clone())
        self._set_on_hw = set_on_chip_func
        return self

    def set_hw_config(self, coords: Any, configs: Any) -> Any:
        """Writes the hardware value to a chip's configuration through the function given to `make_trainable`.

        Raises:
            ValueError: no function was given.
        """
        if self._set_on_hw is None:
            raise ValueError(f"{type(self).__name__}: no function was given that sets the value on the chip")
        return self._set_on_hw(coords, configs)

    set_on_chip = set_hw_config

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "HXBaseParameter":
        """Moves tensors with the module that holds them, which the state dictionary does not show."""
        super()._apply(fn, recurse)
        for name in ("_model_value", "_hardware_value"):
            value = self.__dict__.get(name)
            if isinstance(value, Tensor):
                self.__dict__[name] = fn(value)
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hardware_value={self.hardware_value}, model_value={self.model_value})"


class HXParameter(HXBaseParameter):
    """One value for model and hardware. It is set through `hardware_value`.

    Example:
        >>> parameter = HXParameter(80.0)
        >>> parameter.hardware_value = 70.0
        >>> parameter.model_value
        70.0
    """

    @property  # type: ignore[misc]  # no setter
    def model_value(self) -> Any:
        """The one value; a trainable one trains."""
        return self._model_value

    @property
    def hardware_value(self) -> Any:
        """The one value."""
        return self.model_value_detach()

    @hardware_value.setter
    def hardware_value(self, value: Any) -> None:
        self._set_model_value(value)


class MixedHXModelParameter(HXBaseParameter):
    """Two independent values: `MixedHXModelParameter(model_value, hardware_value)`."""

    def __init__(self, model_value: Any, hardware_value: Any) -> None:
        super().__init__(model_value)
        self._hardware_value = hardware_value

    @property
    def hardware_value(self) -> Any:
        """Value on the hardware."""
        return self._hardware_value

    @hardware_value.setter
    def hardware_value(self, value: Any) -> None:
        self._hardware_value = value


class HXTransformedModelParameter(HXBaseParameter):
    """The hardware value is `transform_func(model_value)`, at each reading."""

    def __init__(self, model_value: Any, transform_func: Callable[[Any], Any]) -> None:
        super().__init__(model_value)
        self.transform_func = transform_func

    @property
    def hardware_value(self) -> Any:
        """The transformed model value."""
        return self.transform_func(self.model_value_detach())

    @hardware_value.setter
    def hardware_value(self, value: Any) -> None:
        """Follows the model value: setting it has no effect, as in hxtorch."""


class ModelParameter(HXBaseParameter):
    """A value of the model, which the hardware takes as it is."""


class TrainableHXParameter(HXParameter):
    """`HXParameter` whose value trains."""

    def __init__(self, value: Any, set_on_hw_func: Optional[Callable[..., Any]] = None) -> None:
        super().__init__(value)
        self.make_trainable(set_on_hw_func)


class TrainableMixedHXModelParameter(MixedHXModelParameter):
    """`MixedHXModelParameter` whose model value trains."""

    def __init__(
        self, model_value: Any, hardware_value: Any, set_on_hw_func: Optional[Callable[..., Any]] = None
    ) -> None:
        super().__init__(model_value, hardware_value)
        self.make_trainable(set_on_hw_func)


class TrainableHXTransformedModelParameter(HXTransformedModelParameter):
    """`HXTransformedModelParameter` whose model value trains."""

    def __init__(
        self,
        model_value: Any,
        transform_func: Callable[[Any], Any],
        set_on_hw_func: Optional[Callable[..., Any]] = None,
    ) -> None:
        super().__init__(model_value, transform_func)
        self.make_trainable(set_on_hw_func)


class TrainableModelParameter(ModelParameter):
    """`ModelParameter` whose value trains."""

    def __init__(self, model_value: Any, set_on_hw_func: Optional[Callable[..., Any]] = None) -> None:
        super().__init__(model_value)
        self.make_trainable(set_on_hw_func)


def as_parameter(value: Any) -> Any:
    """A parameter as it is, anything else as `HXParameter`."""
    return value if hasattr(value, "model_value") else HXParameter(value)


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value
