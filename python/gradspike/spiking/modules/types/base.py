"""Base of everything that is called in an experiment."""

import inspect
import weakref
from typing import Any, Callable, Optional

import torch

from gradspike.spiking.backend.module_manager import describe
from gradspike.spiking.handle import Handle, TensorHandle


class HXTorchBaseModule(torch.nn.Module):
    """A module that gives handles when it is called, and fills them when the experiment runs.

    Subclasses implement `forward_func(*inputs, hw_data=None)`, which takes filled handles and returns one; `hw_data`,
    what a backend measured, is passed where the signature has it.

    Args:
        experiment: The experiment it belongs to.
        name: Name on the chip and in files; default: made of class and number.

    Attributes:
        output_type: Class of the handle that a call returns.
        changed_topology: True until the module was put on a backend as it is.
    """

    output_type: Any = TensorHandle

    def __init__(self, experiment: Any, name: Optional[str] = None) -> None:
        super().__init__()
        self.experiment = experiment
        self.name = name
        self.descriptor: Any = None
        self.hw_observables: Any = None
        self.changed_topology = True
        elements = getattr(experiment, "elements", None)
        if elements is not None:
            elements.append(self)

    def forward(self, *inputs: Handle, output: Optional[Handle] = None) -> Any:
        """Notes the call in the graph of the experiment and returns the handle that `run` will fill.

        Args:
            *inputs: Handles of other modules or of the user.
            output: A handle to fill instead of a new one: the way to name the output of a module before it is called,
                as recurrent connections need. gradspike's own.
        """
        for place, handle in enumerate(inputs):
            if not isinstance(handle, Handle):
                raise TypeError(
                    f"{type(self).__name__}: input {place} must be a handle such as TensorHandle or LIFObservables, "
                    f"got {type(handle).__name__}"
                )
        target = self.output_type() if output is None else output
        self.experiment.connect(self, inputs, target)
        return target

    def forward_func(self, *inputs: Any, **options: Any) -> Any:
        """What the module computes."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward_func")

    @property
    def func(self) -> Callable[..., Any]:
        """`forward_func` as `func(inputs, hw_data=None)` with a tuple of handles."""
        takes_hw_data = _takes_hw_data(getattr(self.forward_func, "__func__", self.forward_func))

        def call(inputs: Any, hw_data: Any = None) -> Any:
            handles = inputs if isinstance(inputs, tuple) else (inputs,)
            return self.forward_func(*handles, hw_data=hw_data) if takes_hw_data else self.forward_func(*handles)

        return call

    def exec_forward(self, input: Any, output: Any, hw_map: Any = None) -> None:
        """Computes and fills `output`.

        Args:
            input: Handle, or tuple of handles.
            output: Handle to fill; for a wrapper a tuple of them.
            hw_map: Measured data by descriptor; where there is none, that of the last run of the experiment.
        """
        measured = hw_map.get(self.descriptor) if hw_map is not None else self._measured()
        output.clone(self.func(input, hw_data=measured))

    def _measured(self) -> Any:
        if self.experiment.mock or self.hw_observables is None:
            return None
        return self.post_process(self.hw_observables, self.experiment.runtime_in_s)

    def post_process(self, hw_observables: Any, runtime_s: Any) -> Any:
        """What a backend measured, as `hw_data` of `forward_func`."""
        return None

    def _describe(self) -> str:
        return describe(self.experiment, self)

    def __getstate__(self) -> Any:
        return {**self.__dict__, "hw_observables": None}

    def extra_repr(self) -> str:
        return ""


class HXFunctionalModule(HXTorchBaseModule):
    """A module without a counterpart on the chip: the host computes it, between or after what the chip does."""


_signatures: "weakref.WeakKeyDictionary[Callable[..., Any], bool]" = weakref.WeakKeyDictionary()


def _takes_hw_data(function: Callable[..., Any]) -> bool:
    """Whether a signature has hw_data; looked at once, for it takes longer than the rest of a call."""
    found = _signatures.get(function)
    if found is None:
        parameters = inspect.signature(function).parameters
        found = "hw_data" in parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
        _signatures[function] = found
    return found
