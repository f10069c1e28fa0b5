"""Modules that run together: recurrent networks."""

from typing import Any, Dict, Iterable, List, Tuple, Union

import torch

from gradspike.spiking.modules._recurrent import run_recurrent
from gradspike.spiking.modules.types import HXFunctionalModule
from gradspike.spiking.modules.types.base import HXTorchBaseModule


class _Wrapped(Dict[str, Any]):
    """The modules of a wrapper: a dictionary, and called, those of `torch.nn.Module.modules`."""

    owner: Any

    def __call__(self, *args: Any) -> Any:
        return torch.nn.Module.modules(self.owner, *args)


class HXModuleWrapper(HXFunctionalModule):
    """Modules that read each other in a circle, and the function that runs them.

    Call the modules as usual, then the wrapper without arguments; the modules' own functions are then replaced by the
    wrapper's `forward_func(*external_inputs, hw_data=None)`, which returns one handle for each module, in order.

    Without a `forward_func` of its own, a wrapper runs projections into one population of `LIF` neurons and a
    projection of that population onto itself as one operator (`gradspike.functional.recurrent_lif`), without a loop in
    Python; only such a wrapper runs on a backend.

    Args:
        experiment: The experiment.
        **modules: The modules by name.

    Attributes:
        wrapped: The modules by name. They stay the caller's: the wrapper's `state_dict` does not repeat them.
    """

    def __init__(self, experiment: Any, **modules: HXTorchBaseModule) -> None:
        super().__init__(experiment)
        self.__dict__["wrapped"] = dict(modules)

    @property
    def modules(self) -> Any:
        """The wrapped modules as a dictionary; called, the modules of `torch.nn.Module.modules`."""
        result = _Wrapped(self.__dict__["wrapped"])
        result.owner = self
        return result

    def __getattr__(self, name: str) -> Any:
        wrapped = self.__dict__.get("wrapped", {})
        return wrapped[name] if name in wrapped else super().__getattr__(name)

    def update(self, **modules: HXTorchBaseModule) -> None:
        """Adds modules, or replaces those of the same name."""
        self.wrapped.update(modules)

    def contains(self, modules: Union[HXTorchBaseModule, Iterable[HXTorchBaseModule]]) -> bool:
        """Whether a module, or every one of several, is in the wrapper."""
        asked = [modules] if isinstance(modules, torch.nn.Module) else list(modules)
        held = list(self.wrapped.values())
        return all(any(module is other for other in held) for module in asked)

    def forward(self, *inputs: Any, **options: Any) -> None:
        """Notes that the modules run together; they were called before."""
        self.experiment.connect_wrapper(self)

    def forward_func(self, *inputs: Any, hw_data: Any = None) -> Tuple[Any, ...]:
        """The handles of all modules, in order; this one runs the pattern named in the class."""
        return run_recurrent(self, inputs, hw_data)

    def exec_forward(self, input: Any, output: Any, hw_map: Any = None) -> None:
        """Computes all modules and fills their handles."""
        modules = list(self.wrapped.values())
        measured: List[Any] = [
            hw_map.get(module.descriptor) if hw_map is not None else module._measured() for module in modules
        ]
        present = tuple(measured) if any(data is not None for data in measured) else None
        results = self.func(input, hw_data=present)
        if not isinstance(results, (tuple, list)) or len(results) != len(output):
            count = len(results) if isinstance(results, (tuple, list)) else type(results).__name__
            raise AssertionError(
                f"{type(self).__name__}: forward_func must return a tuple of {len(output)} handles, one for each "
                f"module in order, got {count}"
            )
        for target, result in zip(output, results):
            target.clone(result)

    def __len__(self) -> int:
        return len(self.wrapped)
