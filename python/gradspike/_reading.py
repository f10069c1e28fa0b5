"""Makes the scripted form that the reader takes of any model or function."""

import contextlib
import copy
import inspect
import io
import json
import warnings
import weakref
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor
from torch.nn.utils.parametrize import is_parametrized
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from gradspike import nn
from gradspike.nn.plasticity import PlasticityRule

Example = Union[Tensor, Sequence[Tensor], None]

_LAYERS = (
    nn.AELIF,
    nn.EventPropLIF,
    nn.ExactEventPropLIF,
    nn.LI,
    nn.LIF,
    nn.PrepackedSynapse,
    nn.SparseSynapse,
    nn.Synapse,
)

# Name, wishes and card of models that were loaded from an archive, so that they are read under the same name again.
_stored: "weakref.WeakKeyDictionary[torch.nn.Module, Dict[str, Any]]" = weakref.WeakKeyDictionary()


def remember(module: torch.nn.Module, options: Dict[str, Any]) -> None:
    """Keeps what an archive says about a model."""
    _stored[module] = options


def stored_options(model: Any) -> Dict[str, Any]:
    """What an archive said about a model; empty for any other."""
    return dict(_stored.get(unwrapped(model), {})) if isinstance(model, torch.nn.Module) else {}


def plain(model: Any, example: Example) -> Tuple[Any, Example]:
    """The module and example of an object that stands for a model, as an `Experiment` does; any other as it is."""
    convert = getattr(type(model), "__gradspike_model__", None)
    if convert is None:
        return model, example
    module, own = convert(model)
    return module, own if example is None else example


def sentence(error: BaseException) -> str:
    """The first line of an error, without the traces that PyTorch appends."""
    return str(error).strip().split("\n", 1)[0]


# What PyTorch appends to the message of a call that it refuses.
_NOISE = ("\nDeclaration:", "\nPosition:", "\nException raised from", "\nC++ CapturedTraceback")


def call(method: Callable[..., Any], *args: Any) -> Any:
    """Calls into the library; an error keeps its sentences and loses what PyTorch appends to them."""
    try:
        return method(*args)
    except RuntimeError as error:
        text = str(error)
        for mark in _NOISE:
            text = text.split(mark, 1)[0]
        raise RuntimeError(text.strip()) from None


def require_type(value: Any, kind: type, argument: str) -> None:
    """The library's own message would name a position and not the argument."""
    if not isinstance(value, kind):
        raise TypeError(f"{argument} must be of type {kind.__name__}, got {type(value).__name__}")


def tensor_list(tensors: Sequence[Any], what: str) -> List[Tensor]:
    """Detached tensors; anything else is refused by its place."""
    for place, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{what} {place} must be a tensor, got {type(tensor).__name__}")
    return [tensor.detach() for tensor in tensors]


def example_list(example: Example, device: Optional[str] = None) -> List[Tensor]:
    """The example inputs as a list of detached tensors, on a device where one is named."""
    if example is None:
        return []
    if not isinstance(example, (Tensor, list, tuple)):
        raise TypeError(f"example must be a tensor or a tuple of tensors, got {type(example).__name__}")
    tensors = tensor_list([example] if isinstance(example, Tensor) else example, "example input")
    return tensors if device is None else [tensor.to(device) for tensor in tensors]


def read_handle(module: torch.jit.ScriptModule, example: Example, options: Dict[str, Any]) -> Any:
    """The handle of a scripted module that was read."""
    try:
        text = json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"projections and card must hold text and finite numbers: {error}") from None
    # PyTorch keeps a module that is given in its Python wrapper for good, with all of its parameters.
    return call(torch.classes.gradspike.Network.read, module._c, example_list(example), text)


def unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    """The module inside torch.compile and DistributedDataParallel wrappers."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, (torch.nn.parallel.DistributedDataParallel, torch.nn.DataParallel)):
            inner = model.module
        if not isinstance(inner, torch.nn.Module):
            return model
        model = inner


def refuse_hooks(model: torch.nn.Module) -> None:
    """Raises where a hook would be lost: a saved graph has none."""
    found = _hook(model)
    if found:
        raise ValueError(f"save: {found}, which a saved graph would lose: remove it first")


def _hook(model: torch.nn.Module) -> str:
    """Which module has a hook, "" where none has."""
    for path, module in model.named_modules():
        for attribute in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            for hook in getattr(module, attribute, {}).values():
                if str(getattr(hook, "__module__", "")).startswith("torch.export."):
                    continue  # checks the inputs of a program
                name = getattr(hook, "__qualname__", type(hook).__qualname__)
                where = f"module '{path}'" if path else "the model"
                return f"{where} has the hook {name}"
    return ""


def refuse_distributed(model: torch.nn.Module) -> None:
    """Raises where a process holds only a part of a tensor."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if hasattr(tensor, "full_tensor"):  # DTensor, whose module is not imported for this
            raise ValueError(
                f"a model that is read must hold whole tensors, but '{name}' is divided among processes: load its full "
                "state into a plain model, see torch.distributed.checkpoint.state_dict.get_model_state_dict"
            )


def refuse_meta(model: torch.nn.Module) -> None:
    """Raises where a tensor has no values to copy."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_meta:
            raise RuntimeError(
                f"a model that is saved must have values, but '{name}' is on the meta device: load its state first"
            )


def scripted(model: Any, example: Example = None, *, share_parameters: bool = True) -> torch.jit.ScriptModule:
    """A scripted evaluation copy.

    Its parameters are those of the model where `share_parameters` says so, else copies on the CPU.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.jit")
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", category=FutureWarning, message=r"`isinstance\(treespec, LeafSpec\)`")
        warnings.filterwarnings("ignore", message="The TorchScript type system doesn't support instance-level")
        model = unwrapped(model) if isinstance(model, torch.nn.Module) else model
        if isinstance(model, torch.export.ExportedProgram):
            return traced_program(model, example)
        if isinstance(model, torch.jit.ScriptModule):  # the reader makes its own evaluation copy
            return model if share_parameters else _cpu_copy(model).eval()
        if isinstance(model, torch.nn.Module):
            refuse_distributed(model)
            return _script_or_trace(_named_copy(model, share_parameters), example)
        if callable(model) and not isinstance(model, type):
            return _traced_function(model, example, share_parameters)
    raise no_model(model)


def no_model(model: Any) -> TypeError:
    """What is said of anything that is no model."""
    got = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
    return TypeError(f"a model must be a torch.nn.Module or a function, got {got}")


def traced_program(program: torch.export.ExportedProgram, example: Example = None) -> torch.jit.ScriptModule:
    """The program in the form that is read, with its own parameters."""
    inputs = example_list(example) or program_inputs(program)
    module = program.module()
    with torch.no_grad():
        result: torch.jit.ScriptModule = torch.jit.trace(module, tuple(inputs), check_trace=False)
    return result


def program_inputs(program: torch.export.ExportedProgram) -> List[Tensor]:
    """The inputs that a program was exported with.

    Raises:
        ValueError: the program has none.
    """
    arguments = program.example_inputs
    inputs = [value for value in arguments[0] if isinstance(value, Tensor)] if arguments else []
    if not inputs:
        raise ValueError("the program was saved without example inputs: give example=...")
    return inputs


def evaluation_copy(model: Any, inputs: Sequence[Tensor]) -> torch.nn.Module:
    """A copy in evaluation mode on the CPU that shares nothing with the model; unnamed layers carry their path."""
    model = unwrapped(model) if isinstance(model, torch.nn.Module) else model
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError("a scripted module cannot be exported: give the module that it was scripted from")
    if isinstance(model, torch.nn.Module):
        refuse_distributed(model)
        return _named_copy(model, share_parameters=False)
    if callable(model) and not isinstance(model, type):
        return copy.deepcopy(_as_module(model, inputs)).eval().cpu()
    raise no_model(model)


def _cpu_copy(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """A copy whose parameters can be trained: those of a deep copy would be results of a computation."""
    content = io.BytesIO()
    torch.jit.save(module, content)
    content.seek(0)
    result: torch.jit.ScriptModule = torch.jit.load(content, map_location="cpu")
    return result


def _named_copy(model: torch.nn.Module, share_parameters: bool) -> torch.nn.Module:
    """A copy in evaluation mode whose unnamed layers carry their path as key."""
    if not share_parameters:
        refuse_meta(model)
    memo: Dict[int, Any] = {}
    for module in model.modules():  # results of a run that a module keeps, such as spikes for a regulariser
        kept = [leaf for leaf in tree_leaves(list(module.__dict__.values())) if isinstance(leaf, Tensor)]
        memo.update({id(tensor): tensor.detach() for tensor in kept if not tensor.is_leaf})
    if share_parameters:
        memo.update({id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]})
    result = copy.deepcopy(model, memo).eval()
    if not share_parameters:
        result = result.cpu()
    for module, attribute, key in _unnamed_layers(result):
        setattr(module, attribute, key)
    return result


def _unnamed_layers(model: torch.nn.Module) -> Iterator[Tuple[torch.nn.Module, str, str]]:
    """Layers without a key of their own, the attribute that holds it, and the key, which is their path."""
    for path, module in model.named_modules():
        key = path or type(module).__name__.lower()
        keys: Dict[str, str] = {}
        if isinstance(module, _LAYERS):
            keys = {"projection": key, "population": key}
        if isinstance(module, nn.RecurrentLIF):
            keys = module.keys_of(module.population or key)
        for attribute, name in keys.items():
            if getattr(module, attribute, None) == "":
                yield module, attribute, name


def with_plasticity(model: Any, options: Dict[str, Any]) -> Dict[str, Any]:
    """Options of reading with the plasticity rules of the modules; what the options say themselves goes first."""
    wishes = options.get("projections") or {}
    if not isinstance(wishes, dict) or not all(isinstance(wish, dict) for wish in wishes.values()):
        return options  # refused where it is read, by its name
    wishes = {name: dict(wish) for name, wish in wishes.items()}
    for key, rule in _rules_of_modules(model):
        wishes.setdefault(key, {}).setdefault("plasticity_rule", rule)
    for wish in wishes.values():
        rule = wish.get("plasticity_rule")
        if isinstance(rule, PlasticityRule):
            wish.update(rule.as_wish())
    return {**options, "projections": wishes} if wishes else options


def _rules_of_modules(model: Any) -> Iterator[Tuple[str, PlasticityRule]]:
    if isinstance(model, torch.nn.Module) and not isinstance(model, torch.jit.ScriptModule):
        for path, module in unwrapped(model).named_modules():
            rule = getattr(module, "plasticity_rule", None)
            if isinstance(rule, PlasticityRule):
                yield getattr(module, "projection", "") or path or type(module).__name__.lower(), rule


@contextlib.contextmanager
def keys_of_layers(model: torch.nn.Module) -> Iterator[None]:
    """Unnamed layers carry the keys by which the model is read."""
    unnamed = list(_unnamed_layers(model))
    for module, attribute, key in unnamed:
        setattr(module, attribute, key)
    try:
        yield
    finally:
        for module, attribute, _ in unnamed:
            setattr(module, attribute, "")


def _script_or_trace(model: torch.nn.Module, example: Example) -> torch.jit.ScriptModule:
    try:
        if any(is_parametrized(module) for module in model.modules()):  # scripted, they raise when they run
            raise RuntimeError("it has parametrizations, which can only be traced")
        result: torch.jit.ScriptModule = torch.jit.script(model)
        return result
    except Exception as error:
        found = _hook(model)
        if found:  # is compiled with the module, also by a trace
            raise RuntimeError(f"{found}, which TorchScript cannot compile: remove it first") from None
        if example is None:
            raise RuntimeError(
                f"{type(model).__name__} cannot be scripted, and without an example input it cannot be traced: give "
                f"example=... ({sentence(error) or type(error).__name__})"
            ) from None
    with torch.no_grad():
        traced: torch.jit.ScriptModule = torch.jit.trace(model, tuple(example_list(example)), check_trace=False)
    return traced


class _LeafCollector(TorchFunctionMode):
    """Collects the tensors that require gradients and that a function uses without being given them."""

    def __init__(self) -> None:
        super().__init__()
        self.leaves: Dict[int, Tensor] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Tuple[Any, ...] = (), kwargs: Optional[Dict[str, Any]] = None
    ) -> Any:
        for argument in tree_leaves((args, kwargs)):  # also in lists, as torch.cat takes them
            if isinstance(argument, Tensor) and argument.requires_grad:
                if not argument.is_leaf:
                    raise RuntimeError(
                        "a function that is read captures a tensor that is the result of a computation with gradients: "
                        "compute it inside the function, from parameters"
                    )
                self.leaves[id(argument)] = argument
        return func(*args, **(kwargs or {}))


class _Function(torch.nn.Module):
    """A function with its captured tensors as parameters, which tracing then refers to by name."""

    def __init__(self, function: Callable[..., Any], tensors: Dict[str, Tensor]) -> None:
        super().__init__()
        self._function = function
        for name, tensor in tensors.items():
            if isinstance(tensor, torch.nn.Parameter):
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)

    def forward(self, *inputs: Tensor) -> Any:
        return self._function(*inputs)


def _captured_names(function: Callable[..., Any]) -> Dict[int, str]:
    """Names by which a function knows tensors of its closure and globals."""
    try:
        captured = inspect.getclosurevars(function)
    except TypeError:
        return {}
    variables = {**captured.globals, **captured.nonlocals}
    return {id(value): name for name, value in variables.items() if isinstance(value, Tensor)}


def _traced_function(function: Callable[..., Any], example: Example, share_parameters: bool) -> torch.jit.ScriptModule:
    inputs = example_list(example)
    if not inputs:
        raise ValueError("a function is traced and needs an example input: give example=...")
    with torch.no_grad():
        traced: torch.jit.ScriptModule = torch.jit.trace(_as_module(function, inputs), tuple(inputs), check_trace=False)
    return traced if share_parameters else _cpu_copy(traced)


def _as_module(function: Callable[..., Any], inputs: Sequence[Tensor]) -> torch.nn.Module:
    collector = _LeafCollector()
    with torch.no_grad(), collector:
        function(*inputs)
    names = _captured_names(function)
    leaves = {names.get(key, f"parameter{k}"): leaf for k, (key, leaf) in enumerate(collector.leaves.items())}
    return _Function(function, leaves)
