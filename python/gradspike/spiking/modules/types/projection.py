"""Projections: what the chip holds of them, and the populations they connect."""

from typing import Any, FrozenSet, Iterable, List, NamedTuple, Optional, Union

from gradspike.spiking.modules.types.base import HXTorchBaseModule

_BOTH = frozenset(("excitatory", "inhibitory"))


class ProjectionConnection(NamedTuple):
    """A connection of a projection: pre-synaptic neuron, post-synaptic neuron, weight [LSB]."""

    idx_pre: int
    idx_post: int
    weight: float


class Projection(HXTorchBaseModule):
    """Base of the projections.

    Args:
        experiment: The experiment.
        chip_coordinate: Where the projection lies on the chip; stored as it is. The mapper takes what it understands:
            a text or coordinate such as AtomicNeuronOnDLS(3), or a list of circuits, for the target population; a
            dictionary by execution instance; a pair of chip and connection where projections name several chips.
        receptor: "excitatory", "inhibitory", a collection of them, or None: signed.
        plasticity_rule: A rule with `kernel` and `timer`; needs an unsigned projection.
        execution_instance: Execution instance that the projection belongs to.
        name: Name on the chip and in files.
    """

    def __init__(
        self,
        experiment: Any,
        chip_coordinate: Any = None,
        receptor: Union[str, Iterable[str], None] = None,
        plasticity_rule: Any = None,
        execution_instance: Any = None,
        name: Optional[str] = None,
    ) -> None:
        super().__init__(experiment, name)
        self.chip_coordinate = chip_coordinate
        self.execution_instance = execution_instance
        self._receptor = _receptor(receptor)
        self._signed_projection = self._receptor is None
        if plasticity_rule is not None and self._signed_projection:
            raise ValueError(
                "Plasticity rules require unsigned projections. Set receptor='excitatory' or receptor='inhibitory': a "
                "signed weight is two synapses."
            )
        self.plasticity_rule = plasticity_rule
        self.plasticity_rule_descriptor: Any = None

    @property
    def receptor(self) -> str:
        """ "signed", "excitatory" or "inhibitory"."""
        return self._receptor or "signed"

    def source_population(self) -> Any:
        """The population that the projection reads, through functional modules; None where the user feeds it.

        Raises:
            AssertionError: there are several.
        """
        return self._one(self.experiment.modules.source_populations(self), "source")

    def target_population(self) -> Any:
        """The population that the projection drives; None where there is none.

        Raises:
            AssertionError: there are several.
        """
        return self._one(self.experiment.modules.target_populations(self), "target")

    def _one(self, found: List[Any], end: str) -> Any:
        if len(found) > 1:
            raise AssertionError(
                f"On hardware, a projection can only have one {end} population, {self._describe()} has {len(found)}."
            )
        return found[0] if found else None


def _receptor(receptor: Any) -> Optional[str]:
    """ "excitatory" or "inhibitory"; None for signed."""
    if receptor is None:
        return None
    if isinstance(receptor, str):
        if receptor not in _BOTH:
            raise ValueError(
                f"Unsupported receptor value. receptor must be 'excitatory' or 'inhibitory', got {receptor!r}"
            )
        return receptor
    if isinstance(receptor, (list, tuple, set, frozenset)):
        names: FrozenSet[Any] = frozenset(name for name in receptor if isinstance(name, str))
        if not names or not names <= _BOTH or not all(isinstance(name, str) for name in receptor):
            raise ValueError(
                "Unsupported receptor collection. Use ['excitatory'], ['inhibitory'], or ['excitatory', 'inhibitory'], "
                f"got {receptor!r}"
            )
        return None if names == _BOTH else str(*names)
    raise ValueError(f"Unsupported receptor type. Use str, list, or tuple, got {type(receptor).__name__}.")
