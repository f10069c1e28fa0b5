"""Training in the loop: the forward pass runs on a backend, the gradient is that of the model."""

from typing import Any, Callable, Dict, Optional, Set, Tuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gradspike import _reading
from gradspike.chip._network import Deployed, Network
from gradspike.chip._result import Result
from gradspike.chip._verbs import read

_READOUT, _ALL = "readout", "all"


class _Injection(TorchFunctionMode):
    """Gives every operator with a population what was measured there."""

    def __init__(self, spikes: Dict[str, Tensor], membrane: Dict[str, Tensor]) -> None:
        super().__init__()
        self.spikes = spikes
        self.membrane = membrane
        self.met: Set[str] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Tuple[Any, ...] = (), kwargs: Optional[Dict[str, Any]] = None
    ) -> Any:
        given = dict(kwargs or {})
        name = given.get("population", "")
        if name and isinstance(func, (torch._ops.OpOverload, torch._ops.OpOverloadPacket)):
            like = args[0]
            for argument, measured in (("measured_spikes", self.spikes), ("measured_membrane", self.membrane)):
                if name in measured:
                    given[argument] = measured[name].to(device=like.device, dtype=torch.float32)
            self.met.add(name)
        return func(*args, **given)


class InTheLoop(torch.nn.Module):
    """A model whose forward pass runs on a backend; see `in_the_loop`.

    Attributes:
        model: The model itself, with the parameters to train.
        result: The `Result` of the last forward pass.
        uploads: How often weights were written: once per forward pass with weights that changed.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        target: Optional[str],
        preset: str,
        seed: int,
        constants: Optional[Dict[str, float]],
        membrane: str,
        network: Optional[str],
    ) -> None:
        super().__init__()
        if not isinstance(model, torch.nn.Module) or isinstance(model, torch.jit.ScriptModule):
            raise TypeError(
                f"in_the_loop: model must be a torch.nn.Module that is not scripted, got {type(model).__name__}"
            )
        if membrane not in (_READOUT, _ALL):
            raise ValueError(f"in_the_loop: membrane must be {_READOUT!r} or {_ALL!r}, got {membrane!r}")
        self.model = model
        self.result: Optional[Result] = None
        self.uploads = 0
        self._options = (target, preset, seed, constants)
        self._membrane = membrane
        self._network_name = network
        self._network: Optional[Network] = None
        self._deployed: Optional[Deployed] = None
        self._trial = 0

    def deployed(self, *example: Tensor) -> Deployed:
        """The model on the backend with its present weights. The first call reads the model with these inputs."""
        if self._network is None or self._network.is_stale:
            self._network = read(self.model, example, self._network_name)
            self._deployed = None
        if self._deployed is None or self._deployed.changed:
            self._deployed = self._network.deploy(*self._options)
            self.uploads += 1
        return self._deployed

    def forward(self, *inputs: Tensor) -> Any:
        """What the model gives for these inputs, with spikes and membranes that the backend measured."""
        _refuse_dropout(self.model)
        deployed = self.deployed(*inputs)
        everything = "*" if self._membrane == _ALL else ()
        self.result = deployed(*inputs, membrane=everything, seed=self._trial)
        self._trial += 1
        populations = self.result.spikes.keys() | self.result.membrane.keys()
        with _reading.keys_of_layers(self.model), _Injection(self.result.spikes, self.result.membrane) as injection:
            outputs = self.model(*inputs)
        missing = sorted(populations - injection.met)
        if missing:
            raise RuntimeError(
                f"in_the_loop: the model did not call an operator for population {', '.join(map(repr, missing))}: "
                "scripted and compiled parts cannot take measurements, use the plain module"
            )
        return outputs

    def extra_repr(self) -> str:
        target, preset, seed, _ = self._options
        return f"target={target or 'emulator'}, preset={preset}, seed={seed}"


def _refuse_dropout(model: torch.nn.Module) -> None:
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd) and module.training and module.p > 0:
            raise ValueError(
                f"in_the_loop: dropout '{path}' is in training mode: what it drops in the model, the chip would keep; "
                "call .eval() on it"
            )


def in_the_loop(
    model: torch.nn.Module,
    target: Optional[str] = None,
    preset: str = "ideal",
    seed: int = 0,
    *,
    constants: Optional[Dict[str, float]] = None,
    membrane: str = _READOUT,
    network: Optional[str] = None,
) -> InTheLoop:
    """A module that runs `model` on a backend in the forward pass and gives the gradient of the model.

    Every call uploads the weights if they changed, runs the inputs, and calls the model with the measured spikes and
    membranes in the place of its own (Schmitt et al. 2017, doi 10.1109/IJCNN.2017.7966125; Cramer et al. 2022,
    doi 10.1073/pnas.2109194119). Parameters, optimizer and loss stay those of the model.

    Args:
        model: Modules of `gradspike.nn`, or any module that calls `torch.ops.gradspike` with keys; not scripted.
        target: As for `deploy`.
        preset: As for `deploy`.
        seed: As for `deploy`: the chip. Trials count up by themselves, one per call.
        constants: As for `deploy`.
        membrane: "readout": membranes of leaky integrators are measured; "all": those of firing populations too, which
            then decide the surrogate derivative.
        network: Name of the network.

    Returns:
        The module. Its attribute `result` holds what was measured last.

    Raises:
        ValueError: a dropout layer is in training mode (at a call).

    Example:
        >>> import gradspike, torch
        >>> model = torch.nn.Sequential(gradspike.nn.Synapse(5, 20, name="out"), gradspike.nn.LI(20, name="out"))
        >>> loop = in_the_loop(model, preset="calibrated", seed=1)
        >>> loop((torch.rand(38, 2, 5) < 0.1).float()).sum().backward()
        >>> loop.result.target
        'emulator analog preset=calibrated seed=1'
    """
    return InTheLoop(model, target, preset, seed, constants, membrane, network)
