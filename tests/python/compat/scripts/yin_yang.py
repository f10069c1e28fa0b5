"""Yin-Yang with a surrogate gradient or with EventProp, in simulation (--mock) or on a chip.

Two layers, one spike per coordinate, the largest readings decide; short: a fraction of the usual data set.
"""

import argparse
from functools import partial

import hxtorch
import hxtorch.spiking as hxsnn
import torch
from dlens_vx_v3 import halco
from hxtorch.spiking.modules import EventPropLIF, EventPropSynapse
from hxtorch.spiking.transforms import weight_transforms
from hxtorch.spiking.transforms.decode import MaxOverTime
from hxtorch.spiking.transforms.encode import CoordinatesToSpikes
from hxtorch.spiking.utils import calib_helper

log = hxtorch.logger.get("yin_yang")


class Network(torch.nn.Module):
    def __init__(self, mock, event_prop, hidden, dt=1e-6, tau=6e-6, weight_scale=70.0, trace_scale=0.0147):
        super().__init__()
        self.experiment = hxsnn.Experiment(mock=mock, dt=dt)
        self.repeated = 1 if mock else 5
        self.weight_scale = weight_scale
        to_chip = partial(weight_transforms.linear_saturating, scale=weight_scale)
        projection, neurons = (EventPropSynapse, EventPropLIF) if event_prop else (hxsnn.Synapse, hxsnn.LIF)
        self.projection_in = projection(5 * self.repeated, hidden, experiment=self.experiment, transform=to_chip)
        capacitance = hxsnn.HXTransformedModelParameter(tau, lambda model: model / tau * 63)
        shared = {"tau_mem": tau, "tau_syn": tau, "i_synin_gm": 500, "synapse_dac_bias": 1000}
        shared |= {"trace_scale": trace_scale, "shift_cadc_to_first": True, "cadc_time_shift": 0 if mock else 1}
        self.hidden = neurons(
            hidden,
            experiment=self.experiment,
            leak=hxsnn.MixedHXModelParameter(0.0, 80),
            reset=hxsnn.MixedHXModelParameter(0.0, 80),
            threshold=hxsnn.MixedHXModelParameter(1.0, 150),
            membrane_capacitance=capacitance,
            enable_cadc_recording=not event_prop,
            **shared,
        )
        self.projection_out = hxsnn.Synapse(
            hidden, 3, experiment=self.experiment, transform=partial(weight_transforms.linear_saturating, scale=64.0)
        )
        one_circuit = hxsnn.morphology.SingleCompartmentNeuron(1).compartments
        bottom = halco.NeuronRowOnDLS(1)
        self.readout = hxsnn.LI(
            3,
            experiment=self.experiment,
            leak=hxsnn.MixedHXModelParameter(0.0, 80),
            placement_constraint=[
                halco.LogicalNeuronOnDLS(one_circuit, halco.AtomicNeuronOnDLS(bottom, halco.NeuronColumnOnDLS(n)))
                for n in range(3)
            ],
            **shared,
        )
        weight = torch.empty(hidden, 5).normal_(0.8 if mock else 0.25, 0.25)
        self.projection_in.weight.data = weight.repeat(1, self.repeated)
        torch.nn.init.normal_(self.projection_out.weight, 0.0, 0.1)

    def forward(self, spikes):
        inputs = hxsnn.LIFObservables(spikes=spikes.repeat(1, 1, self.repeated))
        self.hidden_handle = self.hidden(self.projection_in(inputs))
        output = self.readout(self.projection_out(self.hidden_handle))
        hxsnn.run(self.experiment, spikes.shape[0])
        return output.membrane_cadc

    def keep_within_range(self):
        largest = 63.0 / self.weight_scale
        self.projection_in.weight.data.clamp_(-largest, largest)
        peak = self.projection_out.weight.abs().max().item()
        self.projection_out.weight_transform.keywords["scale"] = min(63.0 / peak, 64.0)


def run_epoch(network, encoder, decoder, loader, optimizer=None):
    losses, right, count = [], 0, 0
    for points, classes in loader:
        scores = decoder(network(encoder(points.float()))).clone()
        with torch.no_grad():
            scores *= 10.0
        loss = torch.nn.functional.cross_entropy(scores, classes) + 4e-4 * scores.square().mean()
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if not network.experiment.mock:
                network.keep_within_range()
        losses.append(loss.item())
        right += int((scores.argmax(1) == classes).sum())
        count += len(classes)
    return sum(losses) / len(losses), right / count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mock", action="store_true")
    parser.add_argument("--event-prop", action="store_true")
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    if not arguments.mock:
        hxtorch.init_hardware()
    network = Network(arguments.mock, arguments.event_prop, hidden=60)
    if not arguments.mock:
        network.experiment.default_execution_instance.load_calib(calib_helper.nightly_calix_native_path("spiking2"))
    data = hxsnn.datasets.YinYangDataset(size=arguments.samples, seed=42)
    loader = torch.utils.data.DataLoader(data, batch_size=50, shuffle=True, drop_last=True)
    encoder, decoder = CoordinatesToSpikes(38, 2e-6, 26e-6, 1e-6, t_bias=2e-6), MaxOverTime()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.9)
    history = []
    for epoch in range(arguments.epochs):
        history.append(run_epoch(network, encoder, decoder, loader, optimizer))
        scheduler.step()
        log.INFO("epoch ", epoch, ": loss ", history[-1][0], ", accuracy ", history[-1][1])
    if not arguments.mock:
        hxtorch.release_hardware()
    print(f"loss {history[0][0]:.3f} -> {history[-1][0]:.3f}, accuracy {history[0][1]:.2f} -> {history[-1][1]:.2f}")
    assert history[-1][0] < history[0][0] and history[-1][1] > 0.45


if __name__ == "__main__":
    hxtorch.logger.default_config(level=hxtorch.logger.LogLevel.INFO)
    main()
