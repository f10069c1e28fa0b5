"""A backend for a laboratory that has hxtorch and a BrainScaleS-2 chip.

    gradspike.chip.attach("bss2", ["python3", "hxtorch_server.py"], timeout=600)
    gradspike.chip.deploy(model, target="bss2")

Every projection becomes hxtorch.spiking.Synapse modules that carry the integers, every population an LIF or LI module;
hxtorch maps, routes and runs them, so that the mapping of gradspike is not used. Model units are CADC readings:
reading = zero_lsb + lsb_per_unit * value. Give each Synapse of the model the `scale` that the chip has, LSB per model
weight: with the constants below about 55; measure it (hxtorch's get_weight_scaling) for your calibration.

A population that is connected to itself is an HXModuleWrapper of its LIF and the Synapse modules of the loop, which
passes on what the chip measured. How long a spike takes around the loop is the chip's own, about a time step of 1 us.
A plasticity rule is an hxtorch.core.plasticity_rule.PlasticityRule of its Synapse; each run starts from the weights of
the model. The MADC records one neuron.

For hxtorch as published with hxtorch.core and hxtorch.spiking (2026). Refused, since hxtorch does not offer it: loops
through several populations and longer delays, recordings of plasticity rules, membranes while a rule runs (the chip
cannot do both), recording of currents, initial states; and a time between batch entries, whose unit there is open.
"""

import argparse
import array
import importlib
import time
from typing import Any, Dict, List, Optional, Tuple

import torch
from hxtorch_network import CONSTANTS, ChipNetwork, Madc
from protocol import Blob, Handler, Refused, double_of_bits, events_blob, rows_of, serve

FPGA_CLOCK = 125e6  # [1/s], of the time stamps of the MADC


class HxtorchServer(Handler):
    name = "hxtorch server"

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__()
        self.arguments = arguments
        self.hxtorch: Any = None
        self.calibration: Any = None
        self.networks: Dict[int, ChipNetwork] = {}
        self.madc_times: Optional[torch.Tensor] = None  # [s], of the run at hand

    def greet(self) -> None:
        if self.hxtorch is not None:
            return
        try:
            hxtorch = importlib.import_module("hxtorch")
            importlib.import_module("hxtorch.spiking")
            hxtorch.init_hardware()
        except Exception as error:  # whatever the chip stack raises
            raise Refused(f"there is no hxtorch with a chip: {type(error).__name__}: {error}") from None
        self.hxtorch = hxtorch
        if self.arguments.calibration:
            module, _, function = self.arguments.calibration_reader.rpartition(".")
            self.calibration = getattr(importlib.import_module(module), function)(self.arguments.calibration)

    def health(self) -> Dict[str, str]:
        return {"status": "ready", "hxtorch": str(getattr(self.hxtorch, "__version__", "unknown"))}

    def compile(self, program: int, request: Dict[str, Any], blobs: Dict[str, Blob]) -> str:
        options = request["options"]
        if options["preset"] != "ideal" or options["calibration"]:
            raise Refused("a chip has no presets, and its calibration is given to the server (--calibration)")
        unknown = sorted(set(options["constants"]) - set(CONSTANTS))
        if unknown:
            raise Refused(f"there is no constant {unknown[0]!r}, only {', '.join(CONSTANTS)}")
        network = request["network"]
        constants = {**CONSTANTS, **options["constants"]}
        self.networks[program] = ChipNetwork(network, constants, blobs, double_of_bits(network["dt"]))
        return self.arguments.chip

    def forget(self, program: int) -> None:
        self.networks.pop(program, None)

    def run(
        self, program: int, request: Dict[str, Any], blobs: Dict[str, Blob]
    ) -> Tuple[Dict[str, Any], Dict[str, Blob]]:
        network = self.networks[program]
        refuse_unsupported(request, blobs, network.has_rules)
        started, dropped = time.monotonic(), 0
        self.madc_times = None
        spikes = []
        for node in network.inputs:
            tensor = torch.zeros(request["steps"], request["batch"], node["size"])
            for step, b, neuron, count in rows_of(blobs["input/" + node["name"]]):
                tensor[step, b, neuron] = 1.0
                dropped += count - 1  # hxtorch sends one event per neuron and step
            spikes.append(tensor)
        for first in range(0, request["batch"], self.arguments.entries):
            self.run_entries(network, request, [s[:, first : first + self.arguments.entries] for s in spikes], first)
        fields = {
            "target": self.arguments.chip,
            "counters": {"events_sent": int(sum(s.sum() for s in spikes)), "events_dropped": dropped},
            "timing": {"run": time.monotonic() - started},
            "constants": network.constants,
            "not_modelled": network.not_modelled(request),
        }
        return fields, {}

    def run_entries(
        self, network: ChipNetwork, request: Dict[str, Any], spikes: List[torch.Tensor], first: int
    ) -> None:
        """Some batch entries, sent as soon as they are there."""
        steps, count, record = request["steps"], spikes[0].shape[1], request["record_membrane"]
        asked = request["madc"]
        madc: Madc = ("", 0) if asked is None else (asked["population"], asked["neuron"])
        try:
            handles = network.run(self.hxtorch.spiking, self.calibration, spikes, record, madc)
        except Exception as error:
            network.built.clear()
            raise Refused(f"hxtorch failed: {type(error).__name__}: {error}") from None
        recorded: Dict[str, Blob] = {}
        seen = 0
        for population, handle in zip(network.populations, handles):
            if population.fires:
                fired = cut(handle.spikes, "spikes", population.name, steps, count) != 0
                events = [(int(t), first + int(b), int(n)) for t, b, n in fired.nonzero()]
                recorded["spikes/" + population.name] = events_blob(events)
                seen += len(events)
            if population.name in record:
                leak = torch.tensor(population.voltages["leak"])
                trace = (cut(handle.membrane_cadc, "membranes", population.name, steps, count) + leak).contiguous()
                values = array.array("f", trace.float().flatten().tolist())
                recorded["membrane/" + population.name] = ("f32", (steps, count, population.size), values)
            if population.name == madc[0]:
                recorded.update(self.madc_blobs(handle.membrane_madc, count, steps * network.dt))
        self.part(first, count, recorded, counters={"spikes_on_chip": seen})

    def madc_blobs(self, raw: Any, count: int, duration: float) -> Dict[str, Blob]:
        """Samples on the times of the first batch entry of the run: those of other entries differ by some cycles."""
        if raw is None or raw.dim() != 3 or raw.shape[0] != 2 or raw.shape[1] == 0 or raw.shape[2] != count:
            shape = None if raw is None else list(raw.shape)
            raise Refused(f"hxtorch returned MADC samples {shape} for {count} entries")
        times, values = raw[0].double().cpu() / FPGA_CLOCK, raw[1].cpu()
        if self.madc_times is None:
            first = times[:, 0]
            self.madc_times = first[(first >= 0.0) & (first < duration)].unique()  # ascending
        samples = torch.zeros(len(self.madc_times), count, dtype=torch.int16)
        for b in range(count):
            samples[:, b] = values[nearest(times[:, b], self.madc_times), b].round().to(torch.int16)
        return {
            "madc": ("i16", tuple(samples.shape), array.array("h", samples.flatten().tolist())),
            "madc_times": ("f64", (len(self.madc_times),), array.array("d", self.madc_times.tolist())),
        }

    def close(self) -> None:
        if self.hxtorch is not None:
            self.hxtorch.release_hardware()


def refuse_unsupported(request: Dict[str, Any], blobs: Dict[str, Blob], has_rules: bool) -> None:
    if request["record_current"]:
        raise Refused("the chip does not measure synaptic currents")
    if has_rules and request["record_membrane"]:
        raise Refused(
            "a chip that executes a plasticity rule takes no CADC samples, and membranes of "
            f"{', '.join(request['record_membrane'])} are to be recorded"
        )
    if request["inter_batch_wait"] > 0:
        raise Refused("this server sets no time between batch entries")
    if any(name.startswith("state/") for name in blobs):
        raise Refused("neurons on the chip start at rest, they take no initial state")
    if request["steps"] < 1:
        raise Refused("a run on the chip has at least one step")


def nearest(times: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """For each wanted time the index of the sample that is nearest to it; both ascend."""
    right = torch.searchsorted(times.contiguous(), wanted).clamp(max=len(times) - 1)
    left = (right - 1).clamp(min=0)
    return torch.where((wanted - times[left]).abs() <= (times[right] - wanted).abs(), left, right)


def cut(recorded: Any, what: str, population: str, steps: int, count: int) -> torch.Tensor:
    """The first `steps` rows: hxtorch returns one more than it was asked for."""
    if recorded is None or recorded.shape[0] < steps or recorded.shape[1] != count:
        shape = None if recorded is None else list(recorded.shape)
        raise Refused(
            f"hxtorch returned {what} {shape} of population {population!r} for {steps} steps, {count} entries"
        )
    return recorded[:steps].detach().cpu()


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs networks of gradspike on a BrainScaleS-2 chip with hxtorch.")
    parser.add_argument("--chip", default="BrainScaleS-2", help="name of the chip, which results carry")
    parser.add_argument("--entries", type=int, default=100, help="batch entries per run of hxtorch")
    parser.add_argument("--calibration", default="", help="file of a calibration; default: that of hxtorch")
    parser.add_argument("--calibration-reader", default="", help="MODULE.FUNCTION that reads it")
    serve(HxtorchServer(parser.parse_args()))


if __name__ == "__main__":
    main()
