"""Experiment, modules, handles and run."""

import math

import torch

import hxtorch
from hxtorch.spiking.transforms.weight_transforms import linear_saturating

# A weight LSB is this many CADC LSB: the gain of a model with weight scale 55 is that of a chip with a threshold 45
# CADC LSB above leak.
CADC_PER_WEIGHT = 45.0 / 55.0

RANGES = {
    "leak": (50, 160),
    "reset": (50, 160),
    "threshold": (50, 220),
    "tau_mem": (0.5e-6 * 0.999, 60e-6 * 1.001),
    "tau_syn": (0.3e-6 * 0.999, 30e-6 * 1.001),
    "i_synin_gm": (30, 800),
    "synapse_dac_bias": (30, 1022),
    "membrane_capacitance": (0, 63),
    "refractory_time": (40e-9 * 0.999, 32e-6 * 1.001),
}


class HXParameter:
    def __init__(self, hardware_value):
        self.hardware_value = hardware_value

    @property
    def model_value(self):
        return self.hardware_value


class MixedHXModelParameter:
    def __init__(self, model_value, hardware_value):
        self.model_value = model_value
        self.hardware_value = hardware_value


def as_parameter(name, value, size):
    """A number or a tensor [size] within what the calibration reaches, as a parameter object."""
    parameter = value if isinstance(value, (HXParameter, MixedHXModelParameter)) else HXParameter(value)
    low, high = RANGES[name]
    for part in (parameter.model_value, parameter.hardware_value):
        if isinstance(part, torch.Tensor):
            assert part.shape in ((), (size,)), f"{name} must be a number or [{size}], got {list(part.shape)}"
        else:
            assert isinstance(part, (int, float)) and not isinstance(part, bool), (
                f"{name} must be a number, got {part!r}"
            )
    hardware = torch.as_tensor(parameter.hardware_value, dtype=torch.float64)
    assert bool(((hardware >= low) & (hardware <= high)).all()), f"{name} must be in {low}..{high}, got {hardware}"
    return parameter


class Handle:
    """A promise: empty until run()."""

    fields = ()

    def __init__(self, **values):
        unknown = set(values) - set(self.fields)
        assert not unknown, f"{type(self).__name__} has no field {sorted(unknown)}"
        self.producer = None
        for field in self.fields:
            setattr(self, field, values.get(field))

    def holds(self, name):
        return getattr(self, name, None) is not None


class LIFObservables(Handle):
    fields = ("current", "membrane_cadc", "membrane_madc", "spikes")


class LIObservables(Handle):
    fields = ("current", "membrane_cadc", "membrane_madc")


class SynapseHandle(Handle):
    fields = ("graded_spikes",)


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
        self.calibration = None

    def add(self, module, inputs, output):
        output.producer = module
        self.calls.append((module, inputs, output))
        return output


class Synapse(torch.nn.Module):
    def __init__(
        self,
        in_features,
        out_features,
        experiment,
        chip_coordinate=None,
        device=None,
        dtype=None,
        transform=linear_saturating,
        plasticity_rule=None,
        receptor=None,
    ):
        super().__init__()
        assert isinstance(in_features, int) and isinstance(out_features, int), "sizes are whole numbers"
        assert isinstance(experiment, Experiment), "the third argument is the experiment"
        if receptor not in (None, "excitatory", "inhibitory"):
            raise ValueError(f"Unsupported receptor value. Got {receptor!r}.")
        if plasticity_rule is not None and receptor is None:
            raise ValueError("Plasticity rules require unsigned projections.")
        hxtorch.log(f"Synapse {in_features} {out_features} {receptor}")
        self.in_features, self.out_features, self.experiment = in_features, out_features, experiment
        self.weight_transform, self.receptor = transform, receptor
        self.weight = torch.nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        torch.nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self.on_chip = None  # written at the first run alone: a change of the weights may go unseen after it
        experiment.elements.append(self)

    def forward(self, handle):
        assert isinstance(handle, LIFObservables), f"a synapse takes a handle with spikes, got {type(handle).__name__}"
        assert handle.holds("spikes") or handle.producer is not None, "the handle is neither filled nor promised"
        return self.experiment.add(self, [handle], SynapseHandle())

    def integers(self):
        if self.on_chip is None:
            weight = torch.round(self.weight_transform(self.weight.detach().clone())).to(torch.int32)
            assert int(weight.abs().max()) <= 63, "one synapse circuit holds 6 bits"
            if self.receptor == "excitatory":
                weight = weight.clamp(min=0)
            elif self.receptor == "inhibitory":
                weight = weight.clamp(max=0)
            self.on_chip = weight.double()
        return self.on_chip

    def compute(self, inputs, runtime):
        spikes = inputs[0].spikes
        assert spikes.dim() == 3 and spikes.shape[2] == self.in_features, (
            f"spikes are [time, batch, {self.in_features}]"
        )
        assert bool(((spikes == 0) | (spikes == 1)).all()), "one event per neuron and step"
        return {"graded_spikes": spikes.double() @ self.integers().T}


class Neuron(torch.nn.Module):
    """What LIF and LI share; the constructors list the arguments that the contract has and a server may use."""

    observables = LIObservables

    def __init__(
        self, size, experiment, parameters, enable_cadc_recording, trace_offset, trace_scale, shift_cadc_to_first
    ):
        super().__init__()
        assert isinstance(size, int) and size > 0 and isinstance(experiment, Experiment), (
            "size and experiment come first"
        )
        assert isinstance(enable_cadc_recording, bool) and isinstance(shift_cadc_to_first, bool), "switches are bool"
        hxtorch.log(f"{type(self).__name__} {size} cadc={enable_cadc_recording}")
        self.size, self.experiment = size, experiment
        self.parameters_of = {name: as_parameter(name, value, size) for name, value in parameters.items()}
        self.records, self.offset, self.scale, self.shift = (
            enable_cadc_recording,
            trace_offset,
            trace_scale,
            shift_cadc_to_first,
        )
        experiment.elements.append(self)

    def forward(self, *handles):
        assert handles and all(isinstance(handle, SynapseHandle) for handle in handles), "neurons take synapse handles"
        return self.experiment.add(self, list(handles), self.observables())

    def value(self, name, model=False):
        parameter = self.parameters_of[name]
        return torch.as_tensor(parameter.model_value if model else parameter.hardware_value, dtype=torch.float64)

    def compute(self, inputs, runtime):
        """[runtime + 1, batch, neuron]; the equations of the model, voltages in CADC LSB."""
        dt = self.experiment.dt
        arrived = [handle.graded_spikes for handle in inputs]
        x = torch.zeros(runtime + 1, *arrived[0].shape[1:], dtype=torch.float64)
        for graded in arrived:  # those of inputs end one row earlier than those of neurons
            x[: len(graded)] += graded[: runtime + 1] * CADC_PER_WEIGHT
        gain = dt / self.value("membrane_capacitance", model=True)
        decay, conductance = 1 - dt / self.value("tau_syn"), dt / self.value("tau_mem") / gain
        leak = self.value("leak")
        v, i = leak.expand(x.shape[1:]).clone(), torch.zeros(x.shape[1:])
        left = torch.zeros(x.shape[1:])
        membrane, spikes = [], []
        for t in range(runtime + 1):
            v = v + gain * (i + conductance * (leak - v))
            i = i * decay + x[t]
            v, fired, left = self.fire(v, left, dt)
            membrane.append(v)
            spikes.append(fired)
        trace = torch.stack(membrane)
        trace = (trace - (trace[:1] if self.shift else self.offset)) * self.scale
        filled = {"membrane_cadc": trace.float() if self.records else None}
        if isinstance(self, LIF):
            filled["spikes"] = torch.stack(spikes).float()
        return filled

    def fire(self, v, left, dt):
        return v, torch.zeros_like(v), left


class LI(Neuron):
    def __init__(
        self,
        size,
        experiment,
        leak=80,
        tau_mem=10e-6,
        tau_syn=10e-6,
        i_synin_gm=500,
        membrane_capacitance=None,
        synapse_dac_bias=600,
        enable_cadc_recording=True,
        trace_offset=0.0,
        trace_scale=1.0,
        shift_cadc_to_first=False,
    ):
        parameters = {
            "leak": leak,
            "tau_mem": tau_mem,
            "tau_syn": tau_syn,
            "i_synin_gm": i_synin_gm,
            "synapse_dac_bias": synapse_dac_bias,
            "membrane_capacitance": membrane_capacitance or MixedHXModelParameter(10e-6, 63),
        }
        super().__init__(
            size, experiment, parameters, enable_cadc_recording, trace_offset, trace_scale, shift_cadc_to_first
        )


class LIF(Neuron):
    observables = LIFObservables

    def __init__(
        self,
        size,
        experiment,
        leak=80,
        reset=80,
        threshold=125,
        tau_mem=10e-6,
        tau_syn=10e-6,
        i_synin_gm=500,
        membrane_capacitance=None,
        refractory_time=1e-6,
        synapse_dac_bias=600,
        enable_spike_recording=True,
        enable_cadc_recording=True,
        trace_offset=0.0,
        trace_scale=1.0,
        shift_cadc_to_first=False,
    ):
        assert enable_spike_recording is True, "spikes of every population are recorded"
        parameters = {
            "leak": leak,
            "reset": reset,
            "threshold": threshold,
            "tau_mem": tau_mem,
            "tau_syn": tau_syn,
            "i_synin_gm": i_synin_gm,
            "synapse_dac_bias": synapse_dac_bias,
            "membrane_capacitance": membrane_capacitance or MixedHXModelParameter(10e-6, 63),
            "refractory_time": refractory_time,
        }
        super().__init__(
            size, experiment, parameters, enable_cadc_recording, trace_offset, trace_scale, shift_cadc_to_first
        )

    def fire(self, v, left, dt):
        steps = torch.floor(self.value("refractory_time") / dt + 0.5)
        blocked = left > 0
        crosses = v > self.value("threshold")
        fired = crosses & ~blocked
        v = torch.where(crosses | blocked, self.value("reset").expand(v.shape), v)
        return v, fired.double(), torch.where(fired, steps.expand(v.shape), (left - 1).clamp(min=0))


def run(experiment, runtime):
    if type(runtime) is not int:
        raise ValueError(f"Requested runtime invalid. Got {runtime!r}.")
    hxtorch.require_hardware()
    hxtorch.log(f"run {runtime}")
    if hxtorch.failure() == "run":
        raise RuntimeError("Could not place population on hardware.")
    batches = set()
    for module, inputs, output in experiment.calls:
        for name, tensor in module.compute(inputs, runtime).items():
            setattr(output, name, tensor)
        batches |= {handle.spikes.shape[1] for handle in inputs if getattr(handle, "spikes", None) is not None}
    assert len(batches) == 1, f"all inputs have one batch size, got {batches}"
    experiment.calls = []
