"""Which module answers which import, and when gradspike does not answer at all."""

import importlib
import io
import pickle
import subprocess
import sys
import textwrap
from functools import partial

import pytest
import torch

import gradspike.compat as compat
import gradspike.spiking as spiking
from gradspike.compat import _packages


@pytest.fixture
def answering():
    assert compat.install()
    yield
    compat.uninstall()


def python(text, *arguments):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text), *arguments], capture_output=True, text=True, timeout=120
    )


# The same modules

SAME = {
    "hxtorch.spiking": "gradspike.spiking",
    "hxtorch.snn": "gradspike.spiking",
    "hxtorch.spiking.backend.module_manager": "gradspike.spiking.backend.module_manager",
    "hxtorch.spiking.datasets": "gradspike.spiking.datasets",
    "hxtorch.spiking.datasets.yinyang": "gradspike.spiking.datasets",
    "hxtorch.spiking.execution_instance": "gradspike.spiking.experiment",
    "hxtorch.spiking.experiment": "gradspike.spiking.experiment",
    "hxtorch.spiking.functional": "gradspike.spiking.functional",
    "hxtorch.spiking.functional.aelif": "gradspike.spiking.functional.neurons",
    "hxtorch.spiking.functional.linear": "gradspike.spiking.functional.linear",
    "hxtorch.spiking.functional.threshold": "gradspike.spiking.functional.threshold",
    "hxtorch.spiking.functional.unterjubel": "gradspike.spiking.functional.unterjubel",
    "hxtorch.spiking.handle": "gradspike.spiking.handle",
    "hxtorch.spiking.modules": "gradspike.spiking.modules",
    "hxtorch.spiking.modules.neuron": "gradspike.spiking.modules.neuron",
    "hxtorch.spiking.modules.sparse_synapse": "gradspike.spiking.modules.sparse_synapse",
    "hxtorch.spiking.modules.synapse": "gradspike.spiking.modules.synapse",
    "hxtorch.spiking.modules.types": "gradspike.spiking.modules.types",
    "hxtorch.spiking.modules.types.projection": "gradspike.spiking.modules.types.projection",
    "hxtorch.spiking.morphology": "gradspike.spiking.morphology",
    "hxtorch.spiking.observables": "gradspike.spiking.observables",
    "hxtorch.spiking.parameter": "gradspike.spiking.parameter",
    "hxtorch.spiking.run": "gradspike.spiking.run",
    "hxtorch.spiking.transforms.decode": "gradspike.spiking.transforms.decode",
    "hxtorch.spiking.transforms.encode": "gradspike.spiking.transforms.encode",
    "hxtorch.spiking.transforms.weight_transforms": "gradspike.spiking.transforms.weight_transforms",
    "hxtorch.spiking.utils": "gradspike.spiking.utils",
    "hxtorch.spiking.utils.calib_helper": "gradspike.spiking.utils.calib_helper",
    "hxtorch.spiking.utils.dynamic_range.weight_scaling": "gradspike.spiking.utils.dynamic_range",
    "hxtorch.spiking.utils.model_mapper": "gradspike.spiking.utils.model_mapper",
    "hxtorch.snn.transforms.weight_transforms": "gradspike.spiking.transforms.weight_transforms",
    "hxtorch.snn.parameter": "gradspike.spiking.parameter",
    "hxtorch.core.modules.projection": "gradspike.spiking.modules.types.projection",
    "hxtorch.core.modules.population": "gradspike.spiking.modules.types.population",
    "hxtorch.core.morphology": "gradspike.spiking.morphology",
    "hxtorch.core.observables": "gradspike.spiking.observables",
    "hxtorch.core.parameter": "gradspike.spiking.parameter",
    "hxtorch.core.plasticity_rule": "gradspike.spiking.plasticity_rule",
    "hxtorch.core.utils.calib_helper": "gradspike.spiking.utils.calib_helper",
}


@pytest.mark.parametrize("name", SAME)
def test_a_module_is_the_very_same_object(answering, name):
    own = sys.modules.get(SAME[name])
    assert importlib.import_module(name) is importlib.import_module(SAME[name])
    assert own is None or own is sys.modules[SAME[name]]
    assert sys.modules[SAME[name]].__name__ == SAME[name] and sys.modules[SAME[name]].__spec__.name == SAME[name]


def test_attributes_lead_to_the_same_modules(answering):
    import hxtorch

    for name in SAME:
        value = hxtorch
        for part in name.split(".")[1:]:
            value = getattr(value, part)
        functions = ("run", "linear", "threshold")  # functions that have the name of their module
        assert value is sys.modules[SAME[name]] or name.rpartition(".")[2] in functions, name


def test_functions_that_have_the_name_of_their_module_stay_functions(answering):
    import hxtorch.spiking as hxsnn
    from hxtorch.spiking.functional.linear import linear
    from hxtorch.spiking.run import run

    for name in ("hxtorch.spiking.run", "hxtorch.spiking.functional.threshold", "hxtorch.snn.run"):
        importlib.import_module(name)
    assert hxsnn.run is run is spiking.run and callable(run)
    assert hxsnn.functional.linear is linear and callable(hxsnn.functional.threshold)


def test_objects_are_instances_of_both_names(answering):
    import hxtorch.snn as snn
    import hxtorch.spiking as hxsnn
    from hxtorch.core import HXParameter

    experiment = snn.Experiment(mock=True)
    assert isinstance(hxsnn.Synapse(2, 3, experiment), spiking.Synapse)
    assert isinstance(spiking.LIF(3, experiment).leak, HXParameter)
    assert hxsnn.HXParameter is HXParameter


@pytest.mark.parametrize("name", ["hxtorch.spiking", "hxtorch.spiking.modules", "hxtorch.spiking.functional"])
def test_star_imports(answering, name):
    names = {}
    exec(f"from {name} import *", names)
    module = importlib.import_module(SAME[name])
    assert set(module.__all__) <= set(names) and all(names[key] is getattr(module, key) for key in module.__all__)


@pytest.mark.parametrize("name", ["hxtorch", "hxtorch.core", "dlens_vx_v3", "dlens_vx_v3.halco", "pygrenade_vx.common"])
def test_star_imports_of_packages_that_are_not_there(answering, name):
    names = {}
    exec(f"from {name} import *", names)
    assert set(importlib.import_module(name).__all__) <= set(names)


PUBLIC = """
HXModule HXModuleWrapper InputNeuron AELIF LIF LI NeuronExp ReadoutNeuronExp Synapse SparseSynapse
BatchDropout Handle TensorHandle SynapseHandle LIFObservables LIObservables HXParameter MixedHXModelParameter
HXTransformedModelParameter ModelParameter TrainableHXParameter TrainableMixedHXModelParameter
TrainableHXTransformedModelParameter TrainableModelParameter Experiment ExecutionInstance run datasets
functional modules transforms morphology
"""
MODULES_ALONE = """
EventPropLIF EventPropSynapse Population InputPopulation Projection HXFunctionalModule HXTorchBaseModule
"""


@pytest.mark.parametrize("name", PUBLIC.split())
def test_public_names(answering, name):
    assert hasattr(importlib.import_module("hxtorch.spiking"), name)


@pytest.mark.parametrize("name", MODULES_ALONE.split())
def test_names_of_modules_alone(answering, name):
    assert hasattr(importlib.import_module("hxtorch.spiking.modules"), name)


# Pickles


def test_pickles_are_read_under_both_names(answering):
    import hxtorch.spiking as hxsnn
    from hxtorch.spiking.transforms.weight_transforms import linear_saturating

    experiment = hxsnn.Experiment(mock=True)
    synapse = hxsnn.Synapse(3, 2, experiment, transform=partial(linear_saturating, scale=2.0))
    again = pickle.loads(pickle.dumps(synapse))
    assert torch.equal(again.weight, synapse.weight) and again.weight_transform.keywords == {"scale": 2.0}
    handle = pickle.loads(pickle.dumps(hxsnn.LIFObservables(spikes=torch.ones(2, 1, 3))))
    assert isinstance(handle, type(hxsnn.LIFObservables()))


def test_a_pickle_that_names_hxtorch_is_read(answering):
    import gradspike.spiking.parameter as parameter

    written = pickle.dumps((parameter.HXParameter, spiking.modules.synapse.Synapse), protocol=0)
    foreign = written.replace(b"gradspike.spiking.", b"hxtorch.spiking.")
    assert foreign != written
    assert pickle.loads(foreign) == (parameter.HXParameter, spiking.Synapse)
    value = pickle.loads(b"chxtorch.spiking.transforms.weight_transforms\nlinear_saturating\n.")
    assert value is spiking.transforms.weight_transforms.linear_saturating


def test_coordinates_are_pickled_as_values(answering):
    from dlens_vx_v3 import halco

    circuit = halco.AtomicNeuronOnDLS(300)
    logical = halco.LogicalNeuronOnDLS(spiking.morphology.SingleCompartmentNeuron(2).compartments, 3)
    for value in (circuit, logical, halco.DLSGlobal(3), halco.common.Enum(7)):
        assert pickle.loads(pickle.dumps(value)) == value


# What is not there


@pytest.mark.parametrize(
    "statement, says",
    [
        ("from dlens_vx_v3 import sta", r"dlens_vx_v3\.sta is not among .*hal, halco, logger, lola"),
        ("import dlens_vx_v3.sta", r"dlens_vx_v3\.sta is not among .*hal, halco, logger, lola"),
        (
            "from dlens_vx_v3.halco import CapMemRowOnCapMemBlock",
            r"halco\.CapMemRowOnCapMemBlock is not among .*Atomic",
        ),
        ("import hxtorch; hxtorch.perceptron", r"hxtorch\.perceptron is not among .*spiking"),
        ("import hxtorch.perceptron", r"hxtorch\.perceptron is not among .*spiking"),
        ("from hxtorch.core.modules import neuron", r"hxtorch\.core\.modules\.neuron is not among .*projection"),
        ("from calix.spiking import neuron", r"calix\.spiking is not among .*\(nothing\)"),
        ("import pygrenade_vx.network", r"pygrenade_vx\.network is not among .*common"),
        ("import hxtorch.spiking.nothing", r"hxtorch\.spiking\.nothing.*gradspike\.spiking has no module 'nothing'"),
        ("from hxtorch.spiking import CUBALIFParams", r"cannot import name 'CUBALIFParams'"),
    ],
)
def test_one_sentence_for_what_is_not_there(answering, statement, says):
    with pytest.raises((ImportError, AttributeError), match=says) as error:
        exec(statement, {})
    assert "\n" not in str(error.value)


def test_asking_whether_a_name_is_there_is_no_error(answering):
    import hxtorch

    assert not hasattr(hxtorch, "perceptron") and getattr(hxtorch, "__wrapped__", None) is None
    with pytest.raises(ImportError):
        import hxtorch.perceptron
    assert hxtorch.__version__ == f"gradspike {importlib.import_module('gradspike').__version__}"


def test_a_module_that_needs_another_package_says_so(answering, monkeypatch):
    def without(path):
        raise ModuleNotFoundError("No module named 'nir'", name="nir")

    importlib.import_module("hxtorch.spiking")
    monkeypatch.setattr(_packages, "spiking_module", without)
    with pytest.raises(ModuleNotFoundError, match="No module named 'nir'"):
        importlib.import_module("hxtorch.spiking.utils.from_somewhere")


# Installing


def test_install_and_uninstall(answering):
    finders = list(sys.meta_path)
    assert compat.install() and compat.installed() and sys.meta_path == finders
    import hxtorch  # noqa: F401

    compat.uninstall()
    assert not compat.installed() and not [name for name in sys.modules if name.split(".")[0] in _packages.ROOTS]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("hxtorch")
    compat.uninstall()  # nothing to do
    assert compat.install()
    assert importlib.import_module("hxtorch.spiking") is spiking


def test_nothing_is_answered_before_install():
    assert not compat.installed()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("hxtorch")


@pytest.fixture
def real(tmp_path, monkeypatch):
    """A folder with packages that stand for the real ones."""

    def make(*names):
        for name in names:
            (tmp_path / name).mkdir(parents=True)
            (tmp_path / name / "__init__.py").write_text("real = True\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()

    yield make
    compat.uninstall()
    for name in [name for name in sys.modules if name.split(".")[0] in _packages.ROOTS]:
        del sys.modules[name]


def test_the_real_package_wins(real):
    real("hxtorch")
    assert compat.install() is False and not compat.installed()
    assert importlib.import_module("hxtorch").real


def test_the_real_package_wins_where_it_comes_after_install(real):
    assert compat.install()
    real("hxtorch")
    assert importlib.import_module("hxtorch").real


def test_the_real_package_wins_where_it_is_imported_already(real, monkeypatch):
    monkeypatch.setitem(sys.modules, "hxtorch", type(sys)("hxtorch"))
    assert compat.install() is False


def test_force_puts_the_real_package_aside(real):
    real("hxtorch", "hxtorch/spiking")
    theirs = importlib.import_module("hxtorch.spiking")
    assert compat.install(force=True)
    assert importlib.import_module("hxtorch.spiking") is spiking
    compat.uninstall()
    assert importlib.import_module("hxtorch.spiking") is theirs


def test_each_package_of_the_chip_wins_by_itself(real):
    real("pylogging")
    assert compat.install()
    assert importlib.import_module("pylogging").real
    assert importlib.import_module("hxtorch.spiking") is spiking
    assert importlib.import_module("dlens_vx_v3").halco.AtomicNeuronOnDLS


def test_a_folder_without_code_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "hxtorch").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert compat.install()
    try:
        assert importlib.import_module("hxtorch.spiking") is spiking
    finally:
        compat.uninstall()


def test_imports_bring_no_packages_that_torch_does_not():
    result = python("""
        import sys, torch
        before = {name.split(".")[0] for name in sys.modules}
        import gradspike.compat
        gradspike.compat.install()
        import calix, hxtorch, hxtorch.core, hxtorch.snn, hxtorch.spiking.utils, pygrenade_vx, pylogging
        from dlens_vx_v3 import hal, halco, lola
        new = {name.split(".")[0] for name in sys.modules} - before
        heavy = {"numpy", "networkx", "scipy", "matplotlib", "nir", "h5py", "sklearn", "pandas", "sympy", "tqdm"}
        print(sorted(new & heavy))
    """)
    assert result.stdout.strip() == "[]", result.stderr


def test_what_is_answered():
    entries = compat.answered()
    for name in ("hxtorch.spiking.modules.types", "hxtorch.spiking.transforms.encode", "hxtorch.core.parameter"):
        assert entries[name].startswith("gradspike.spiking.")
    assert {"hxtorch", "dlens_vx_v3", "pygrenade_vx", "pylogging", "calix", "pyhalco_hicann_dls_vx_v3"} <= set(entries)
    assert not compat.installed()


# Loggers


@pytest.fixture
def logger(answering):
    import pylogging

    yield pylogging
    pylogging.reset()


def test_loggers_write_their_arguments_in_a_row(logger, capsys):
    logger.default_config(level=logger.LogLevel.INFO, date_format="NULL")
    log = logger.get("test.compat")
    log.INFO("spikes: ", 3, " of ", [1, 2])
    log.DEBUG("not this")
    logger.set_loglevel(log, logger.LogLevel.TRACE)
    log.TRACE("100 %s")
    assert capsys.readouterr().out.splitlines() == ["INFO  test.compat spikes: 3 of [1, 2]", "TRACE test.compat 100 %s"]


def test_loggers_write_files_and_reset(logger, tmp_path, capsys):
    logger.default_config(logger.LogLevel.WARN, str(tmp_path / "log"), print_location=True, date_format="NULL")
    logger.append_to_file(str(tmp_path / "more"), logger.get("test.compat"))
    logger.get("test.compat").WARN("careful")
    logger.reset()
    logger.get("test.compat").WARN("no more")
    assert (tmp_path / "log").read_text().startswith("WARNING test.compat careful  -> ")
    assert "test_compat_imports.py" in (tmp_path / "log").read_text()
    assert "careful" in (tmp_path / "more").read_text() and "no more" not in (tmp_path / "more").read_text()


def test_loggers_of_hxtorch_are_the_same(logger):
    import hxtorch
    from dlens_vx_v3 import logger as of_the_chip

    assert hxtorch.logger is logger is of_the_chip
    assert hxtorch.logger.get_root().get_number_of_appenders() >= 0


def test_hardware_is_accepted(answering):
    import hxtorch

    hxtorch.init_hardware()
    hxtorch.release_hardware()


def test_state_dict_of_both_is_the_same_file(answering):
    import hxtorch.spiking as hxsnn

    file = io.BytesIO()
    synapse = hxsnn.Synapse(4, 3, hxsnn.Experiment(mock=True))
    torch.save(synapse.state_dict(), file)
    file.seek(0)
    assert list(torch.load(file, weights_only=True)) == ["weight"]
