"""Neurons with different thresholds, a calibration, places on the chip, a plasticity rule and loggers."""

import sys

import hxtorch
import hxtorch.core as hxcore
import hxtorch.spiking as hxsnn
import pygrenade_vx as grenade
import pylogging as logger
import torch
from dlens_vx_v3 import hal, halco
from hxtorch.core.plasticity_rule import PlasticityRule, Timer
from hxtorch.core.utils import calib_helper
from hxtorch.core.utils.readout_source import ReadoutSource

MOCK = "--mock" in sys.argv[1:]
log = logger.get("hxtorch.examples.calibrated_neurons")


def placed(experiment):
    chip = (grenade.common.ChipOnConnection(0), grenade.common.ConnectionOnExecutor(0))
    synapse = hxsnn.Synapse(2, 4, experiment, chip)
    neurons = hxsnn.LIF(
        size=4,
        experiment=experiment,
        tau_syn=hxcore.HXParameter(6e-6),
        tau_mem=hxcore.HXParameter(20e-6),
        refractory_time=hxcore.HXParameter(1e-6),
        leak=hxcore.HXParameter(80.0),
        reset=hxcore.HXParameter(80.0),
        threshold=hxcore.HXParameter(torch.tensor([80.5, 90.0, 200.0, 210.0])),
        cadc_readout_source=hal.NeuronConfig.ReadoutSource.membrane,
        placement_constraint=[
            halco.LogicalNeuronOnDLS(
                halco.LogicalNeuronCompartments(
                    {halco.CompartmentOnLogicalNeuron(): [halco.AtomicNeuronOnLogicalNeuron()]}
                ),
                halco.AtomicNeuronOnDLS(halco.common.Enum(number)),
            )
            for number in (7, 3, 300, 511)
        ],
    )
    torch.nn.init.constant_(synapse.weight, 63.0)
    return synapse, neurons


def main():
    if not MOCK:
        hxtorch.init_hardware()
    experiment = hxsnn.Experiment(mock=MOCK)
    if not MOCK:
        experiment.calibration = calib_helper.fixture_calibration_from_file(calib_helper.nightly_calib_path())
    synapse, neurons = placed(experiment)
    spikes = torch.zeros(20, 1, 2)
    spikes[5] = 1.0
    output = neurons(synapse(hxsnn.LIFObservables(spikes=spikes)))
    hxsnn.run(experiment=experiment, runtime=spikes.shape[0])
    counts = output.spikes.sum((0, 1)).tolist()
    log.INFO("spikes: ", counts)
    log.INFO("parameters: ", neurons.params_dict())
    assert counts[0] >= counts[1] > 0 and counts[2:] == [0, 0]
    assert hal.NeuronConfig.ReadoutSource.membrane == ReadoutSource.VOLTAGE

    neurons.leak.hardware_value = 85.0
    again = neurons(synapse(hxsnn.LIFObservables(spikes=torch.zeros(20, 1, 2))))
    hxsnn.run(experiment, 20)
    assert again.spikes[:, :, 0].sum() > 0  # its leak is above its threshold now

    timer = Timer(start=0, period=100, num_periods=3)
    rule = PlasticityRule("void PLASTICITY_RULE_KERNEL() {}", timer)
    instance = {grenade.common.ExecutionInstanceID(0): halco.DLSGlobal(0)}
    learning = hxsnn.Experiment(mock=MOCK)
    plastic = hxsnn.Synapse(2, 1, learning, instance, receptor="excitatory", plasticity_rule=rule)
    plastic.weight.data.fill_(30.0)
    handle = hxsnn.LI(1, learning)(plastic(hxsnn.LIFObservables(spikes=spikes)))
    hxsnn.run(learning, 20)
    assert handle.holds("membrane_cadc") and not handle.holds("spikes")
    if not MOCK:
        hxtorch.release_hardware()
    print(f"spikes {counts}")


if __name__ == "__main__":
    hxtorch.logger.reset()
    hxtorch.logger.default_config(level=hxtorch.logger.LogLevel.INFO)
    for name in ("hxcomm", "grenade", "stadls", "calix"):
        hxtorch.logger.set_loglevel(hxtorch.logger.get(name), hxtorch.logger.LogLevel.WARN)
    main()
