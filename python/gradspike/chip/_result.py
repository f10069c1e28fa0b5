"""What a run gives."""

import functools
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional
from typing import Mapping as MappingType

from torch import Tensor

from gradspike.chip._report import Report


@dataclass
class Result:
    """What a run gave.

    Attributes:
        outputs: What the model returns, host code before and after the network included; None for a network file.
        spikes: Spikes of each firing population, `[time, batch, neuron]`, float32 counts.
        membrane: Membranes that were recorded, `[time, batch, neuron]`: always those of leaky integrators. From a chip
            they are CADC samples, interpolated onto the time steps, in model units.
        lost: Events that were dropped, spikes that were not recorded and what was clipped, by kind.
        counts: Events sent to the chip, spikes on the chip and synapses that responded; with background inputs also
            "background_spikes", those that generators of the chip made (the analog emulator: in place of those given).
        target: What ran, such as "emulator ideal" or "emulator analog preset=calibrated seed=3".
        cadc: The samples behind each membrane, int16 `[sample, batch, neuron]` [LSB], and "times" [s]; empty where the
            target has no converter.
        madc: Samples of the neuron that was asked for, int16 `[sample, batch]` [LSB], and "times" [s].
        timing: Seconds, such as "chip": what the run takes on a chip.
        constants: What the target ran with, by name.
        not_modelled: What an emulator leaves out, one phrase each.
    """

    outputs: Any
    spikes: Dict[str, Tensor]
    membrane: Dict[str, Tensor]
    lost: Dict[str, int]
    counts: Dict[str, int]
    target: str
    cadc: Dict[str, Tensor] = field(default_factory=dict, repr=False)
    madc: Dict[str, Tensor] = field(default_factory=dict, repr=False)
    timing: Dict[str, float] = field(default_factory=dict)
    constants: Dict[str, float] = field(default_factory=dict, repr=False)
    not_modelled: List[str] = field(default_factory=list, repr=False)
    _make_report: Optional[Callable[[], Report]] = field(default=None, repr=False, compare=False)

    @property
    def report(self) -> Optional[Report]:
        """The report of the deployment, made when it is asked for; None for a run on the operators."""
        return None if self._make_report is None else self._make_report()

    def __getstate__(self) -> Dict[str, Any]:
        """A copy in a file holds the report itself."""
        report = self.report
        return {**self.__dict__, "_make_report": None if report is None else functools.partial(_same, report)}

    def __str__(self) -> str:
        text = self.target
        if self.not_modelled:
            text += "; not modelled: " + ", ".join(self.not_modelled)
        lost = {kind: count for kind, count in self.lost.items() if count}
        return text + (f"; lost: {lost}" if lost else "")


def _same(report: Report) -> Report:
    return report


def result_of(
    outputs: Any, seen: MappingType[str, Tensor], make_report: Optional[Callable[[], Report]], target: str, **about: Any
) -> Result:
    """The result of a run, from what the library calls "spikes/<population>", "lost/<kind>" and so on."""
    groups: Dict[str, Dict[str, Tensor]] = {name: {} for name in ("spikes", "membrane", "lost", "count")}
    samples: Dict[str, Any] = {"cadc": {}, "madc": {}}
    for name, tensor in seen.items():
        group, _, key = name.partition("/")
        if group == "times":
            samples[key]["times"] = tensor
        else:
            (samples if group in samples else groups)[group][key] = tensor
    return Result(
        outputs=outputs,
        spikes=groups["spikes"],
        membrane=groups["membrane"],
        lost={name: int(tensor) for name, tensor in groups["lost"].items()},
        counts={name: int(tensor) for name, tensor in groups["count"].items()},
        target=target,
        _make_report=make_report,
        **samples,
        **about,
    )
