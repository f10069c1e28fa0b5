"""Experiment, the graph of its modules, and run."""

import hxtorch
from hxtorch.spiking._modules import Neuron, Synapse
from hxtorch.spiking._wrapper import run_wrapped


class Experiment:
    def __init__(self, *args, mock=False, dt=1e-6, inter_batch_entry_wait=0):
        assert not args, "a calibration or a mapper of grenade: not part of the stand-in"
        assert mock is False, "the server runs on a chip"
        assert isinstance(dt, float) and 1e-9 < dt < 1e-3, f"dt is in seconds, got {dt!r}"
        assert inter_batch_entry_wait == 0, "its unit is not part of the contract"
        hxtorch.require_hardware()
        hxtorch.log(f"Experiment dt={dt:g}")
        self.dt = dt
        self.elements = []
        self.calls = []  # (module, inputs, output) since the last run
        self.wrappers = []  # registered once and for all
        self.calibration = None

    def connect(self, module, input_handles, output_handle):
        """Matches handles by identity; a module has one output."""
        assert isinstance(input_handles, tuple), "input handles are a tuple"
        assert all(output is not output_handle for _, _, output in self.calls), "two modules promise the same handle"
        assert all(called is not module for called, _, _ in self.calls), (
            "only the last of several outputs of a module is filled"
        )
        self.calls.append((module, list(input_handles), output_handle))

    def connect_wrapper(self, wrapper):
        called = [module for module, _, _ in self.calls]
        assert all(module in called for module in wrapper.modules.values()), "wrapped modules are called before"
        if wrapper not in self.wrappers:
            self.wrappers.append(wrapper)


def run(experiment, runtime):
    if type(runtime) is not int:
        raise ValueError(f"Requested runtime invalid. Got {runtime!r}.")
    hxtorch.require_hardware()
    hxtorch.log(f"run {runtime}")
    if hxtorch.failure() == "run":
        raise RuntimeError("Could not place population on hardware.")
    calls, experiment.calls = experiment.calls, []
    _require_recordings([module for module, _, _ in calls])
    promised = {id(output) for _, _, output in calls}
    batches = {
        handle.spikes.shape[1]
        for module, inputs, _ in calls
        for handle in inputs
        if isinstance(module, Synapse) and id(handle) not in promised
    }
    assert len(batches) == 1, f"all inputs have one batch size, got {batches}"
    for unit in _ordered(calls, experiment.wrappers, promised):
        if isinstance(unit, tuple):
            module, inputs, output = unit
            for name, tensor in module.compute(inputs, runtime).items():
                setattr(output, name, tensor)
        else:
            run_wrapped(*unit, runtime, batches.copy().pop())
    for module, _, _ in calls:
        if isinstance(module, Synapse):
            module.after_run(1e6 * runtime * experiment.dt)


def _require_recordings(modules):
    neurons = [module for module in modules if isinstance(module, Neuron)]
    if sum(neuron.madc for neuron in neurons) > 1:
        raise RuntimeError("Only one MADC readout vertex allowed.")
    rules = any(isinstance(module, Synapse) and module.plasticity_rule is not None for module in modules)
    if rules and any(neuron.records for neuron in neurons):
        raise RuntimeError("Periodic CADC readout and plasticity rule execution are mutually exclusive.")


def _ordered(calls, wrappers, promised):
    """Single calls, and [wrapper, its calls in the order of its modules], such that inputs come first."""
    wrapped = {}
    for wrapper in wrappers:
        members = [next(call for call in calls if call[0] is module) for module in wrapper.modules.values()]
        wrapped.update({id(call): [wrapper, members] for call in members})
    done, left = set(), list(calls)
    while left:
        for call in left:
            unit = wrapped.get(id(call), call)
            members = unit[1] if isinstance(unit, list) else [call]
            own = {id(output) for _, _, output in members}
            needed = {id(handle) for _, inputs, _ in members for handle in inputs} & promised - own
            if needed <= done and (isinstance(unit, list) or not any(id(h) in own for h in call[1])):
                break
        else:
            raise ValueError(
                "Encountered cyclic dependencies in the network. At the moment, cyclic dependencies are expected to be "
                "wrapped manually."
            )
        yield unit
        done |= own
        left = [other for other in left if all(other is not member for member in members)]
