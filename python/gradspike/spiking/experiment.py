"""Experiments: the modules of a network, how they were called, and what runs them."""

import itertools
import numbers
from typing import Any, Dict, List, Optional, Sequence

from torch import Tensor

from gradspike.spiking._hardware import Hardware
from gradspike.spiking.backend.module_manager import Call, ModuleManager
from gradspike.spiking.handle import Handle
from gradspike.spiking.modules.hx_module_wrapper import HXModuleWrapper

_numbers = itertools.count()


class ExecutionInstance:
    """A run of a chip, to which modules can be assigned.

    Attributes:
        input_loopback: Whether input spikes are recorded on their way.
        calib_path: Calibration that was loaded last.
    """

    def __init__(self, calib_path: Optional[str] = None, input_loopback: bool = False) -> None:
        self.calib_path = calib_path
        self.input_loopback = input_loopback

    def load_calib(self, calib_path: Optional[str] = None) -> Optional[str]:
        """Names a calibration, which is handed to the backend."""
        self.calib_path = calib_path
        return calib_path


class Experiment:
    """The modules of a network and how they are called; `gradspike.spiking.run` executes them.

    With `mock=True` the modules run on the operators. With `mock=False` the network goes through registry, mapper and
    backend, what was measured takes the place of the model's values, and gradients are those of the model.

    Args:
        *args: `calibration` and `mapper`, as in hxtorch; one boolean is taken for `mock`.
        mock: Whether to simulate.
        dt: Time step [s].
        inter_batch_entry_wait: Time between two batch entries on a chip: a float in seconds, or a whole number, as in
            hxtorch, in clock cycles of the FPGA (8 ns).
        hardware_weights: Whether projections simulate with the integers of the chip, unless they say otherwise.
        backend: Backend of `gradspike.chip.deploy`; default: the environment variable GRADSPIKE_BACKEND, else the
            emulator, with a warning.
        preset: Preset of the backend.
        seed: Seed of the chip: its fixed pattern.
        constants: Constants of the preset that are changed, by name.
        name: Name of the network in the registry; default: "experiment0", counted up.
        **kwargs: `calibration`, `mapper`; further ones of hxtorch are accepted and kept in `options`.

    Attributes:
        modules: The graph of calls, a `ModuleManager`.
        elements: Every module that was made with the experiment.
        calibration: Handed to the backend, where it is a text.
        post_mapping_hook: Called with the mapping after the network was mapped.
        trial: Runs on a backend so far: the seed of what differs from run to run.

    Example:
        >>> import gradspike.spiking as hxsnn
        >>> hxsnn.Experiment(mock=True, dt=2e-6)
        Experiment(mock=True, dt=2e-06, modules=0)
    """

    def __init__(
        self,
        *args: Any,
        mock: bool = False,
        dt: float = 1e-6,
        inter_batch_entry_wait: Optional[float] = 0,
        hardware_weights: bool = False,
        backend: Optional[str] = None,
        preset: str = "ideal",
        seed: int = 0,
        constants: Optional[Dict[str, float]] = None,
        name: Optional[str] = None,
        **kwargs: Any,
    ) -> None:
        positional = list(args)
        if positional and isinstance(positional[0], bool):
            mock = positional.pop(0)
            dt = positional.pop(0) if positional else dt
        self.calibration = kwargs.pop("calibration", positional[0] if positional else None)
        self.mapper = kwargs.pop("mapper", positional[1] if len(positional) > 1 else None)
        self.mock = mock
        self.dt = dt
        self.inter_batch_entry_wait = inter_batch_entry_wait
        self.hardware_weights = hardware_weights
        self.backend = backend
        self.preset = preset
        self.seed = seed
        self.constants = constants
        self.name = name or f"experiment{next(_numbers)}"
        self.options = kwargs
        self.modules = ModuleManager()
        self.elements: List[Any] = []
        self.default_execution_instance = ExecutionInstance()
        self.runtime: Any = None
        self.post_mapping_hook: Any = None
        self.trial = 0
        self._hardware = Hardware(self)

    # Building

    def connect(self, module: Any, inputs: Sequence[Handle], output: Handle) -> None:
        """Notes that a module reads handles and fills one."""
        self.modules.add_node(module, inputs, output)

    def connect_wrapper(self, wrapper: Any) -> None:
        """Notes that the modules in a wrapper run together."""
        self.modules.add_wrapper(wrapper)

    def clear(self) -> None:
        """Forgets every call, and what is on the backend."""
        self.modules.clear()
        self._hardware = Hardware(self)

    # Looking up

    @property
    def batch_size(self) -> Optional[int]:
        """Batch entries of the first input; None before there is one."""
        for call in self.modules.last_calls:
            for handle in call.inputs:
                for value in vars(handle).values():
                    if isinstance(value, Tensor) and value.dim() > 1:
                        return int(value.shape[1])
        return None

    @property
    def runtime_in_s(self) -> Optional[float]:
        """Duration of the last run on a backend [s]."""
        return None if self.runtime is None else self.runtime * self.dt

    @property
    def result(self) -> Any:
        """What the backend gave in the last run, a `gradspike.chip.Result`; None before that and with `mock=True`."""
        return self._hardware.result

    @property
    def mapping(self) -> Any:
        """The mapping of the network that is on the backend, a `gradspike.chip.Mapping`; None before the first run."""
        return self._hardware.mapping

    @property
    def uploads(self) -> int:
        """How often weights were written to the backend."""
        return self._hardware.uploads

    @property
    def last_run_chip_configs(self) -> Any:
        """What the chip of the last run held: the integers of each projection [LSB]; None before the first run."""
        return self._hardware.chip_configs()

    def __gradspike_model__(self) -> Any:
        """The plain module and the inputs of the last calls, for `gradspike.save`, `export` and `gradspike.chip`."""
        from gradspike.spiking.files import as_model

        return as_model(self)

    # Running

    def run(self, runtime: Any) -> Any:
        """See `gradspike.spiking.run`."""
        if not self.mock and (isinstance(runtime, bool) or not isinstance(runtime, numbers.Integral)):
            raise ValueError(
                f"Requested runtime invalid: without mock, it must be a whole number of time steps, got {runtime!r}"
            )
        calls = self.modules.order()
        if not calls:
            return None
        for call in calls:
            if hasattr(type(call.module), "set_mask"):  # of the class: a module searches long for what it lacks
                call.module.set_mask()
        result = None if self.mock else self._hardware.run(calls, int(runtime))
        for call in calls:
            _execute(call)
        self.modules.done()
        return result

    def get_hw_results(self, runtime: Any) -> Any:
        """Runs the network on the backend without the model, and returns the `gradspike.chip.Result`."""
        return self._hardware.run(self.modules.order(), int(runtime))

    def __getstate__(self) -> Dict[str, Any]:
        """A copy runs by itself: what is on a backend stays with the original."""
        state = dict(self.__dict__)
        state["_hardware"] = None
        return state

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.name = f"experiment{next(_numbers)}"
        self._hardware = Hardware(self)

    def __repr__(self) -> str:
        return f"Experiment(mock={self.mock}, dt={self.dt:g}, modules={len(self.elements)})"


def _execute(call: Call) -> None:
    """Runs a module; every handle that it gave is filled with the same result."""
    module = call.module
    inputs = tuple(call.inputs)
    if isinstance(module, HXModuleWrapper):
        module.exec_forward(inputs, tuple(call.targets))
        return
    module.exec_forward(inputs, call.targets[-1])
    for target in call.targets[:-1]:
        target.clone(call.targets[-1])
