"""Graphs of NIR, the Neuromorphic Intermediate Representation: import, export, data.

`from_nir` makes a module of a graph or file, `to_nir` a graph of a model, `from_nir_data` and `to_nir_data` convert
spikes, `inspect` says what is in a file, `hx_node_map` gives nirtorch the modules of gradspike. The package `nir` is
imported when a function that needs it is called; reading a file takes h5py alone.

For builders of other modules `analyse` gives the normal form of a graph, see `gradspike.nir.Analysis`: units, their
parameters in seconds, the projections between them, and the order; `Convention`, `PRESETS` and `neuron_arguments` say
what it means in the words of `gradspike.functional.lif`.
"""

from gradspike.nir._conventions import PRESETS, Convention, NeuronArguments, neuron_arguments
from gradspike.nir._data import from_nir_data, to_nir_data
from gradspike.nir._export import to_nir
from gradspike.nir._import import Imported, analyse, from_nir
from gradspike.nir._inspect import inspect
from gradspike.nir._modules import Bias, Delay, Threshold
from gradspike.nir._network import Analysis, Group, Projection, Unit
from gradspike.nir._node_map import Step, hx_node_map
from gradspike.nir._problems import NIRExportError, NIRImportError, NIRWarning, Problem
from gradspike.nir._report import ImportReport, NodeReport

__all__ = [
    "PRESETS",
    "Analysis",
    "Bias",
    "Convention",
    "Delay",
    "Group",
    "ImportReport",
    "Imported",
    "NIRExportError",
    "NIRImportError",
    "NIRWarning",
    "NeuronArguments",
    "NodeReport",
    "Problem",
    "Projection",
    "Step",
    "Threshold",
    "Unit",
    "analyse",
    "from_nir",
    "from_nir_data",
    "hx_node_map",
    "inspect",
    "neuron_arguments",
    "to_nir",
    "to_nir_data",
]
