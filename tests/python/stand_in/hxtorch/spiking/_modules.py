"""Synapse and neuron modules, and their chip: a plain float64 loop."""

import math
from typing import NamedTuple, Optional

import torch

import hxtorch
from hxtorch.core.plasticity_rule import PlasticityRule
from hxtorch.spiking._handle import AnalogObservable, LIFObservables, LIObservables, MeasuredHandle, SynapseHandle
from hxtorch.spiking.transforms.weight_transforms import linear_saturating

# A weight LSB is this many CADC LSB: the gain of a model with weight scale 55 is that of a chip with a threshold 45
# CADC LSB above leak.
CADC_PER_WEIGHT = 45.0 / 55.0

MADC_PER_CADC = 4  # 10 bits over the range of 8
FPGA_CYCLES = 125e6  # [1/s]

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


class Synapse(torch.nn.Module):
    output_type = SynapseHandle

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
        assert hasattr(experiment, "connect"), "the third argument is the experiment"
        if receptor not in (None, "excitatory", "inhibitory"):
            raise ValueError(f"Unsupported receptor value. Got {receptor!r}.")
        if plasticity_rule is not None and receptor is None:
            raise ValueError("Plasticity rules require unsigned projections.")
        assert plasticity_rule is None or isinstance(plasticity_rule, PlasticityRule), "a rule of hxtorch.core"
        hxtorch.log(f"Synapse {in_features} {out_features} {receptor}")
        self.plasticity_rule = plasticity_rule
        self.in_features, self.out_features, self.experiment = in_features, out_features, experiment
        self.weight_transform, self.receptor = transform, receptor
        self.weight = torch.nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        torch.nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self.on_chip = None  # written at the first run alone: a change of the weights may go unseen after it
        experiment.elements.append(self)

    def forward(self, handle):
        assert isinstance(handle, LIFObservables), f"a synapse takes a handle with spikes, got {type(handle).__name__}"
        output = self.output_type()
        self.experiment.connect(self, (handle,), output)
        return output

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

    def after_run(self, end):
        """A rule leaves other weights behind, here none."""
        if self.plasticity_rule is not None:
            hxtorch.log(f"rule executed {self.plasticity_rule.timer.executions(end)} times")
            self.on_chip = torch.zeros_like(self.integers())

    def compute(self, inputs, runtime):
        assert inputs[0].holds("spikes"), "the handle is neither filled nor promised"
        spikes = inputs[0].spikes
        assert spikes.dim() == 3 and spikes.shape[2] == self.in_features, (
            f"spikes are [time, batch, {self.in_features}]"
        )
        assert bool(((spikes == 0) | (spikes == 1)).all()), "one event per neuron and step"
        return {"graded_spikes": spikes.double() @ self.integers().T}


class Recording(NamedTuple):
    """What the constructors of neurons take beside parameters."""

    enable_cadc_recording: bool
    trace_offset: float
    trace_scale: float
    shift_cadc_to_first: bool
    enable_madc_recording: bool
    record_neuron_id: Optional[int]


class Neuron(torch.nn.Module):
    """What LIF and LI share; the constructors list the arguments that the contract has and a server may use."""

    output_type = LIObservables

    def __init__(self, size, experiment, parameters, recording):
        super().__init__()
        assert isinstance(size, int) and size > 0 and hasattr(experiment, "connect"), "size and experiment come first"
        cadc, madc = recording.enable_cadc_recording, recording.enable_madc_recording
        assert all(isinstance(switch, bool) for switch in (cadc, madc, recording.shift_cadc_to_first)), "switches"
        if madc:
            assert type(recording.record_neuron_id) is int and 0 <= recording.record_neuron_id < size, "which neuron?"
        suffix = f" madc={recording.record_neuron_id}" if madc else ""
        hxtorch.log(f"{type(self).__name__} {size} cadc={cadc}{suffix}")
        self.size, self.experiment, self.recording = size, experiment, recording
        self.parameters_of = {name: as_parameter(name, value, size) for name, value in parameters.items()}
        self.records, self.madc = cadc, madc
        experiment.elements.append(self)

    def forward(self, *handles):
        assert handles and all(isinstance(handle, SynapseHandle) for handle in handles), "neurons take synapse handles"
        output = self.output_type()
        self.experiment.connect(self, handles, output)
        return output

    def value(self, name, model=False):
        parameter = self.parameters_of[name]
        return torch.as_tensor(parameter.model_value if model else parameter.hardware_value, dtype=torch.float64)

    def start(self, runtime, batch):
        return Circuits(self, batch)

    def compute(self, inputs, runtime):
        """[runtime + 1, batch, neuron]; inputs end one row earlier than neurons."""
        arrived = [handle.graded_spikes for handle in inputs]
        circuits = self.start(runtime, arrived[0].shape[1])
        for t in range(runtime + 1):
            circuits.step(sum((graded[t] for graded in arrived if t < len(graded)), torch.zeros(arrived[0].shape[1:])))
        data = circuits.measured()
        filled = {"membrane_cadc": data.voltage.cadc, "membrane_madc": data.voltage.madc}
        return {**filled, "spikes": data.spikes} if isinstance(self, LIF) else filled

    def fire(self, v, left, dt):
        return v, torch.zeros_like(v), left


class Circuits:
    """Neurons in a run: the equations of the model, voltages in CADC LSB."""

    def __init__(self, neuron, batch):
        self.neuron, self.dt = neuron, neuron.experiment.dt
        value, shape = neuron.value, (batch, neuron.size)
        self.gain = self.dt / value("membrane_capacitance", model=True)
        self.decay, self.conductance = 1 - self.dt / value("tau_syn"), self.dt / value("tau_mem") / self.gain
        self.leak = value("leak")
        self.v = self.leak.expand(shape).clone()
        self.i, self.left = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape)
        self.membrane, self.spikes = [], []

    def step(self, x):
        """One step with `x` weight LSB arriving; gives the spikes."""
        v = self.v + self.gain * (self.i + self.conductance * (self.leak - self.v))
        self.i = self.i * self.decay + x * CADC_PER_WEIGHT
        self.v, fired, self.left = self.neuron.fire(v, self.left, self.dt)
        self.membrane.append(self.v)
        self.spikes.append(fired)
        return fired.double()

    def measured(self):
        recording, voltage = self.neuron.recording, torch.stack(self.membrane)
        trace = voltage - (voltage[:1] if recording.shift_cadc_to_first else recording.trace_offset)
        cadc = (trace * recording.trace_scale).float() if recording.enable_cadc_recording else None
        madc = self.madc(voltage[..., recording.record_neuron_id]) if recording.enable_madc_recording else None
        spikes = torch.stack(self.spikes).float() if isinstance(self.neuron, LIF) else None
        return MeasuredHandle(adaptation=AnalogObservable(), spikes=spikes, voltage=AnalogObservable(cadc, madc))

    def madc(self, voltage):
        """[2, sample, batch]: time stamps in cycles, a cycle later in each batch entry, and values; one per step."""
        steps, batch = voltage.shape
        stamps = (torch.arange(steps) * self.dt * FPGA_CYCLES).round()[:, None] + torch.arange(batch)
        return torch.stack([stamps, (MADC_PER_CADC * voltage).round().clamp(0, 1023)]).float()


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
        enable_madc_recording=False,
        record_neuron_id=None,
    ):
        parameters = {
            "leak": leak,
            "tau_mem": tau_mem,
            "tau_syn": tau_syn,
            "i_synin_gm": i_synin_gm,
            "synapse_dac_bias": synapse_dac_bias,
            "membrane_capacitance": membrane_capacitance or MixedHXModelParameter(10e-6, 63),
        }
        recording = Recording(
            enable_cadc_recording, trace_offset, trace_scale, shift_cadc_to_first, enable_madc_recording,
            record_neuron_id,
        )  # fmt: skip
        super().__init__(size, experiment, parameters, recording)


class LIF(Neuron):
    output_type = LIFObservables

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
        enable_madc_recording=False,
        record_neuron_id=None,
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
        recording = Recording(
            enable_cadc_recording, trace_offset, trace_scale, shift_cadc_to_first, enable_madc_recording,
            record_neuron_id,
        )  # fmt: skip
        super().__init__(size, experiment, parameters, recording)

    def fire(self, v, left, dt):
        steps = torch.floor(self.value("refractory_time") / dt + 0.5)
        blocked = left > 0
        crosses = v > self.value("threshold")
        fired = crosses & ~blocked
        v = torch.where(crosses | blocked, self.value("reset").expand(v.shape), v)
        return v, fired.double(), torch.where(fired, steps.expand(v.shape), (left - 1).clamp(min=0))
