"""Deprecated neurons with exponential decays."""

import warnings
from typing import Any, Dict, Optional

from torch import Tensor

from gradspike.spiking import _readout
from gradspike.spiking.functional.deprecated import decaying, exp_cuba_li, exp_cuba_lif
from gradspike.spiking.modules.neuron import LI, LIF


class NeuronExp(LIF):
    """Deprecated: `LIF` whose leaks decay by exp(-dt/tau) in a step, without refractory time and with unit gain."""

    def __init__(self, size: int, experiment: Any, *args: Any, **options: Any) -> None:
        warnings.warn("NeuronExp is deprecated: use LIF", DeprecationWarning, stacklevel=2)
        super().__init__(size, experiment, *args, **options)

    def _run(self, input: Tensor, hw_data: Any) -> Dict[str, Optional[Tensor]]:
        measured = _readout.measured(hw_data, input.shape[0])
        result = exp_cuba_lif(
            input,
            self._argument("leak"),
            self._argument("reset"),
            self._argument("threshold"),
            decaying(self._argument("tau_mem"), self.experiment.dt),
            decaying(self._argument("tau_syn"), self.experiment.dt),
            method=self.method,
            alpha=self._alpha(),
            measured_spikes=measured.spikes,
            measured_membrane=measured.membrane,
        )
        return {
            "current": result.current,
            "membrane_cadc": result.membrane,
            "membrane_madc": measured.madc,
            "spikes": result.spikes,
        }


class ReadoutNeuronExp(LI):
    """Deprecated: `LI` whose leaks decay by exp(-dt/tau) in a step, with unit gain."""

    def __init__(self, size: int, experiment: Any, *args: Any, **options: Any) -> None:
        warnings.warn("ReadoutNeuronExp is deprecated: use LI", DeprecationWarning, stacklevel=2)
        super().__init__(size, experiment, *args, **options)

    def _run(self, input: Tensor, hw_data: Any) -> Dict[str, Optional[Tensor]]:
        measured = _readout.measured(hw_data, input.shape[0])
        result = exp_cuba_li(
            input,
            self._argument("leak"),
            decaying(self._argument("tau_mem"), self.experiment.dt),
            decaying(self._argument("tau_syn"), self.experiment.dt),
            measured_membrane=measured.membrane,
        )
        return {"current": result.current, "membrane_cadc": result.membrane, "membrane_madc": measured.madc}
