"""What is answered: the modules of gradspike under hxtorch's names, and the packages of the chip."""

import enum
import functools
import importlib
import pkgutil
from types import ModuleType
from typing import Any, Callable, Dict, List, Tuple

from gradspike.compat import _logging
from gradspike.compat._shim import Shim

SPIKING = "gradspike.spiking"

PREFIXES = ("hxtorch.spiking", "hxtorch.snn")
"""hxtorch's names of `gradspike.spiking`."""

_ELSEWHERE = {
    "backend.nodes": "backend.module_manager",
    "datasets.yinyang": "datasets",
    "execution_instance": "experiment",
    "functional.aelif": "functional.neurons",
    "functional.dropout": "functional.unterjubel",
    "functional.eventprop": "functional.neurons",
    "functional.li": "functional.neurons",
    "functional.lif": "functional.neurons",
    "functional.spike_source": "functional.unterjubel",
    "functional.step_integration_code_factory": "functional.neurons",
    "functional.superspike": "functional.threshold",
    "utils.dynamic_range.boundary": "utils.dynamic_range",
    "utils.dynamic_range.threshold": "utils.dynamic_range",
    "utils.dynamic_range.weight_scaling": "utils.dynamic_range",
}
"""Modules of hxtorch.spiking whose names are in another module of gradspike.spiking."""

_CORE = {
    "experiment": "experiment",
    "modules.hx_module": "modules.types.base",
    "modules.population": "modules.types.population",
    "modules.projection": "modules.types.projection",
    "morphology": "morphology",
    "observables": "observables",
    "parameter": "parameter",
    "plasticity_rule": "plasticity_rule",
    "utils.calib_helper": "utils.calib_helper",
}
"""Modules of hxtorch.core in gradspike.spiking."""

_HALCO_NAMES = (
    "AtomicNeuronOnDLS",
    "AtomicNeuronOnLogicalNeuron",
    "CompartmentOnLogicalNeuron",
    "DLSGlobal",
    "HemisphereOnDLS",
    "LogicalNeuronCompartments",
    "LogicalNeuronOnDLS",
    "NeuronBackendConfigBlockOnDLS",
    "NeuronColumnOnDLS",
    "NeuronColumnOnLogicalNeuron",
    "NeuronConfigBlockOnDLS",
    "NeuronEventOutputOnDLS",
    "NeuronRowOnDLS",
    "NeuronRowOnLogicalNeuron",
    "SynapseOnSynapseRow",
    "SynapseRowOnSynram",
    "SynapticInputOnNeuron",
    "SynramOnDLS",
    "iter_all",
)
_GRENADE_NAMES = (
    "ChipOnConnection",
    "CompartmentOnNeuron",
    "ConnectionOnExecutor",
    "ExecutionInstanceID",
    "ExecutionInstanceOnExecutor",
    "TimeDomainOnTopology",
)


class ReadoutSource(enum.IntEnum):
    """What the converters of a neuron record."""

    membrane = 0
    exc_synin = 1
    inh_synin = 2
    adaptation = 3


def spiking_module(path: str) -> ModuleType:
    """A module of `gradspike.spiking` by the path that hxtorch has; "" is the package."""
    return importlib.import_module(".".join(filter(None, (SPIKING, _ELSEWHERE.get(path, path)))))


def _spiking_paths() -> List[str]:
    package = importlib.import_module(SPIKING)
    walked = (m.name[len(SPIKING) + 1 :] for m in pkgutil.walk_packages(package.__path__, SPIKING + "."))
    own = [path for path in walked if not any(part.startswith("_") for part in path.split("."))]
    return ["", *own, *_ELSEWHERE]


def _spiking() -> Dict[str, ModuleType]:
    """Modules of `gradspike.spiking` by path; those that lack a package that they need are left out."""
    found = {}
    for path in _spiking_paths():
        try:
            found[path] = spiking_module(path)
        except ImportError:
            continue
    return found


def _shims_by_path(root: str, doc: str, modules: Dict[str, ModuleType], **names: Any) -> Dict[str, ModuleType]:
    """A package of shims around modules, by full name."""
    result: Dict[str, ModuleType] = {root: Shim(root, doc, **names)}
    for path, module in modules.items():
        parts = path.split(".")
        for depth in range(1, len(parts)):
            name = ".".join([root, *parts[:depth]])
            result.setdefault(name, Shim(name, f"{name} of {doc}"))
            parent = result[name.rpartition(".")[0]]
            setattr(parent, parts[depth - 1], result[name])
        result[f"{root}.{path}"] = module
        setattr(result[f"{root}.{path}".rpartition(".")[0]], parts[-1], module)
    return result


def _hxtorch() -> Dict[str, ModuleType]:
    spiking = _spiking()
    package = spiking[""]
    parameters, morphology = spiking["parameter"], spiking["morphology"]
    exported = {name: getattr(parameters, name) for name in parameters.__all__ if not name.startswith("Trainable")}
    exported.update({name: getattr(morphology, name) for name in ("Morphology", "SingleCompartmentNeuron")})
    modules = {path: spiking[target] for path, target in _CORE.items() if target in spiking}
    source = type("ReadoutSource", (), {"VOLTAGE": ReadoutSource.membrane, "ADAPTATION": ReadoutSource.adaptation})
    modules["utils.readout_source"] = Shim("hxtorch.core.utils.readout_source", "sources", ReadoutSource=source)
    result = _shims_by_path("hxtorch.core", "what the modules of experiments share", modules, **exported)
    for prefix in PREFIXES:
        result.update({".".join(filter(None, (prefix, path))): module for path, module in spiking.items()})
    root = Shim(
        "hxtorch",
        "hxtorch on gradspike",
        core=result["hxtorch.core"],
        init_hardware=getattr(package, "init_hardware"),  # noqa: B009  # a module of unknown type
        release_hardware=getattr(package, "release_hardware"),  # noqa: B009
        logger=pylogging(),
        snn=package,
        spiking=package,
    )
    return {"hxtorch": root, **result}


@functools.cache
def pylogging() -> Shim:
    """The loggers."""
    names = ("LogLevel", "Logger", "append_to_file", "default_config", "get", "get_root", "reset", "set_loglevel")
    return Shim("pylogging", "loggers", **{name: getattr(_logging, name) for name in names})


def _coordinates(names: Tuple[str, ...]) -> Dict[str, Any]:
    coordinates = spiking_module("coordinates")
    return {name: getattr(coordinates, name) for name in names}


@functools.cache
def _halco() -> Dict[str, ModuleType]:
    names = _coordinates(_HALCO_NAMES)
    coordinates = [kind for kind in names.values() if isinstance(getattr(kind, "size", None), int)]
    enum_type = spiking_module("coordinates").Enum
    names.update({f"EnumRanged_{kind.size}_": enum_type for kind in coordinates})
    common = Shim("dlens_vx_v3.halco.common", "numbers of coordinates", **_coordinates(("Enum", "X", "Y")))
    return {"": Shim("dlens_vx_v3.halco", "coordinates", common=common, **names), "common": common}


def _dlens() -> Dict[str, ModuleType]:
    halco = _halco()
    config = type("NeuronConfig", (), {"ReadoutSource": ReadoutSource})
    readout = type("Readout", (), {"Source": ReadoutSource})
    atomic = type("AtomicNeuron", (), {"Readout": readout})
    modules = {
        "halco": halco[""],
        "halco.common": halco["common"],
        "hal": Shim("dlens_vx_v3.hal", "registers", NeuronConfig=config),
        "lola": Shim("dlens_vx_v3.lola", "registers by their meaning", AtomicNeuron=atomic),
    }
    result = {"dlens_vx_v3": Shim("dlens_vx_v3", "the chip's packages", logger=pylogging(), **modules)}
    del result["dlens_vx_v3"].__dict__["halco.common"]
    return {**result, **{f"dlens_vx_v3.{name}": module for name, module in modules.items()}}


def _renamed(root: str, source: str) -> Dict[str, ModuleType]:
    """Modules of `_dlens` under the name of one of its packages."""
    start = f"dlens_vx_v3.{source}"
    return {root + name[len(start) :]: m for name, m in _dlens_once().items() if (name + ".").startswith(start + ".")}


@functools.cache
def _dlens_once() -> Dict[str, ModuleType]:
    return _dlens()


def _grenade() -> Dict[str, ModuleType]:
    names = _coordinates(_GRENADE_NAMES)
    common = Shim("pygrenade_vx.common", "numbers of executions and chips", **names)
    return {"pygrenade_vx": Shim("pygrenade_vx", "execution", common=common), "pygrenade_vx.common": common}


_ROOTS: Dict[str, Callable[[], Dict[str, ModuleType]]] = {
    "hxtorch": _hxtorch,
    "dlens_vx_v3": _dlens_once,
    "pyhalco_hicann_dls_vx_v3": lambda: _renamed("pyhalco_hicann_dls_vx_v3", "halco"),
    "pyhaldls_vx_v3": lambda: _renamed("pyhaldls_vx_v3", "hal"),
    "pylola_vx_v3": lambda: _renamed("pylola_vx_v3", "lola"),
    "pygrenade_vx": _grenade,
    "pylogging": lambda: {"pylogging": pylogging()},
    "calix": lambda: {"calix": Shim("calix", "calibration of a chip")},
}

ROOTS = tuple(_ROOTS)
"""Packages that are answered."""


@functools.cache
def modules_of(root: str) -> Dict[str, ModuleType]:
    """Modules of a package by name. They are made once."""
    return _ROOTS[root]()


def answered() -> Dict[str, str]:
    """By name of a module what it gives: a module of gradspike, or the names of a stand-in.

    Example:
        >>> answered()["hxtorch.spiking"]
        'gradspike.spiking'
    """
    result = {}
    for root in ROOTS:
        for name, module in sorted(modules_of(root).items()):
            stand_in = isinstance(module, Shim)
            result[name] = (", ".join(module.__all__) or "nothing") if stand_in else module.__name__
    return result
