"""The graph of an experiment: which modules were called, with which handles."""

from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from gradspike.spiking.handle import Handle

_CYCLE = (
    "Encountered cyclic dependencies in the network. At the moment, cyclic dependencies are expected to be wrapped "
    "manually."
)


@dataclass(eq=False)
class Call:
    """A module that was called, or a wrapper with the modules in it.

    Attributes:
        module: The module that runs.
        inputs: Handles it reads, in the order of the calls.
        targets: Handles it fills: one for each call; of a wrapper one for each of its modules.
    """

    module: Any
    inputs: List[Handle] = field(default_factory=list)
    targets: List[Handle] = field(default_factory=list)
    places: Dict[Any, int] = field(default_factory=dict)  # place in `inputs` of a module, or of a position in the call

    def take(self, sources: Sequence[Handle], produced: Dict[int, Any]) -> None:
        """Takes the inputs of one more call: those of other modules add up.

        A further handle of the same module, or of the user in the same position, replaces that of before: it stands for
        a later call of the network.
        """
        for position, source in enumerate(sources):
            origin = produced.get(id(source), position)
            if origin in self.places:
                self.inputs[self.places[origin]] = source
            else:
                self.places[origin] = len(self.inputs)
                self.inputs.append(source)


class ModuleManager:
    """Modules in the order in which they were called, and the handles between them.

    Handles are told apart by identity. `graph` is the same as a networkx graph: a node for each module (its number),
    for each source of the user ("s_<node>_<i>") and for each target that no module reads ("t_<node>"); edges carry
    `handle`.
    """

    def __init__(self) -> None:
        self.nodes: Dict[Any, int] = {}
        self.wrappers: Dict[Any, str] = {}
        self._calls: Dict[Any, Call] = {}
        self._produced: Dict[int, Any] = {}  # by identity of a handle the module that fills it
        self._previous: List[Call] = []

    # Building

    def add_node(self, module: Any, sources: Sequence[Handle], target: Handle) -> None:
        """Records a call of `module` that reads `sources` and fills `target`."""
        self.nodes.setdefault(module, len(self.nodes))
        call = self._calls.setdefault(module, Call(module))
        call.take(sources, self._produced)
        call.targets.append(target)
        self._produced[id(target)] = module

    def add_wrapper(self, wrapper: Any) -> None:
        """Records that the modules in `wrapper` run together."""
        self.wrappers.setdefault(wrapper, f"w_{len(self.wrappers)}")

    def clear(self) -> None:
        """Forgets every call and every number."""
        self.nodes.clear()
        self.wrappers.clear()
        self._calls.clear()
        self._produced.clear()
        self._previous = []

    def done(self) -> None:
        """Empties the graph after a run; modules keep their numbers, and `prev_graph` shows what ran.

        What is kept holds the inputs of the user and no results, whose memory the next run needs.
        """
        calls = list(self._calls.values())
        empty = {id(target): type(target)() for call in calls for target in call.targets}
        self._previous = [
            Call(
                call.module,
                [empty.get(id(handle), handle) for handle in call.inputs],
                [empty[id(target)] for target in call.targets],
            )
            for call in calls
        ]
        self._calls = {}
        self._produced = {}

    def __getstate__(self) -> Dict[str, Any]:
        """A copy has the modules and their numbers, not the tensors of a run."""
        return {**self.__dict__, "_calls": {}, "_produced": {}, "_previous": []}

    # Looking up

    def has_module(self, module: Any) -> bool:
        """Whether the module was ever called."""
        return module in self.nodes or module in self.wrappers

    def get_node_id(self, module: Any) -> Any:
        """Number of a module, or name of a wrapper."""
        if not self.has_module(module):
            raise KeyError(f"{type(module).__name__} was not called in this experiment")
        return self.nodes.get(module, self.wrappers.get(module))

    get_id_by_module = get_node_id

    def get_module_by_id(self, node: Any) -> Any:
        """Module of a number, or wrapper of a name; None where there is none."""
        found = [module for module, number in (*self.nodes.items(), *self.wrappers.items()) if number == node]
        return found[0] if found else None

    @property
    def calls(self) -> List[Call]:
        """What was called since the last run."""
        return list(self._calls.values())

    @property
    def last_calls(self) -> List[Call]:
        """What was called since the last run, or, where nothing was, what the last run executed."""
        return self.calls or self._previous

    def producers(self, calls: Sequence[Call]) -> Dict[int, Call]:
        """By identity of a handle the call that fills it."""
        return {id(target): call for call in calls for target in call.targets}

    def input_data(self) -> List[Handle]:
        """Handles that the user made, in the order in which they were given."""
        return external_inputs(self.calls)

    def sources_of(self, module: Any) -> List[Any]:
        """Modules whose handles a module reads."""
        calls = self.last_calls
        producers = self.producers(calls)
        own = [call for call in calls if call.module is module]
        found = (producers.get(id(handle)) for call in own for handle in call.inputs)
        return [call.module for call in found if call is not None]

    def targets_of(self, module: Any) -> List[Any]:
        """Modules that read a handle of a module."""
        calls = self.last_calls
        filled = {id(target) for call in calls if call.module is module for target in call.targets}
        return [call.module for call in calls if any(id(handle) in filled for handle in call.inputs)]

    def source_populations(self, module: Any) -> List[Any]:
        """Nearest populations before a module, through modules that are neither population nor projection."""
        return _nearest(module, self.sources_of)

    def target_populations(self, module: Any) -> List[Any]:
        """Nearest populations behind a module, through modules that are neither population nor projection."""
        return _nearest(module, self.targets_of)

    # Running

    def order(self) -> List[Call]:
        """What to execute, each after what it reads; wrappers in the place of their modules.

        Raises:
            ValueError: modules read each other in a circle and are not in one wrapper.
        """
        return execution_order(self.contracted(self.calls))

    def contracted(self, calls: Sequence[Call]) -> List[Call]:
        """The calls with wrappers in the place of their modules."""
        by_module = {call.module: call for call in calls}
        calls = list(calls)
        for wrapper in self.wrappers:
            wrapped = list(wrapper.wrapped.values())
            inside = [by_module[module] for module in wrapped if module in by_module]
            if not inside:
                continue
            if len(inside) != len(wrapped):
                missing = ", ".join(repr(name) for name, module in wrapper.wrapped.items() if module not in by_module)
                raise ValueError(
                    f"{type(wrapper).__name__}: either all of its modules are called or none, not called: {missing}"
                )
            produced = self.producers(inside)
            inputs = [handle for call in inside for handle in call.inputs if id(handle) not in produced]
            joined = Call(wrapper, inputs, [call.targets[-1] for call in inside])
            calls = [call for call in calls if call not in inside] + [joined]
        return calls

    # Views

    @property
    def graph(self) -> Any:
        """What was called since the last run, as a networkx.DiGraph."""
        return self._as_networkx(self.calls)

    @property
    def prev_graph(self) -> Any:
        """What the last run executed, as a networkx.DiGraph."""
        return self._as_networkx(self._previous)

    @property
    def _open_sources(self) -> Set[str]:
        return {str(node) for node in self.graph.nodes if str(node).startswith("s_")}

    @property
    def _open_targets(self) -> Set[str]:
        return {str(node) for node in self.graph.nodes if str(node).startswith("t_")}

    @property
    def _inputs(self) -> Dict[str, Handle]:
        return {source: data["handle"] for source, _, data in self.graph.edges(data=True) if str(source)[:2] == "s_"}

    def find_edges(self, handle: Handle) -> List[Tuple[Any, Any]]:
        """Edges of `graph` that carry this handle."""
        return [(a, b) for a, b, data in self.graph.edges(data=True) if data["handle"] is handle]

    def _as_networkx(self, calls: Sequence[Call]) -> Any:
        import networkx  # type: ignore[import-untyped]  # PyTorch brings it

        graph = networkx.DiGraph()
        producers = self.producers(calls)
        read = {id(handle) for call in calls for handle in call.inputs}
        for call in calls:
            node = self.nodes[call.module]
            graph.add_node(node)
            outside = (handle for handle in call.inputs if id(handle) not in producers)
            names = {id(handle): f"s_{node}_{place}" for place, handle in enumerate(outside)}
            for handle in call.inputs:
                source = self.nodes[producers[id(handle)].module] if id(handle) in producers else names[id(handle)]
                graph.add_edge(source, node, handle=handle)
            for target in call.targets:
                if id(target) not in read:
                    graph.add_edge(node, f"t_{node}", handle=target)
        return graph


def external_inputs(calls: Sequence[Call]) -> List[Handle]:
    """Handles that no call fills, each once, in the order in which they were given."""
    filled = {id(target) for call in calls for target in call.targets}
    found: Dict[int, Handle] = {}
    for call in calls:
        found.update({id(handle): handle for handle in call.inputs if id(handle) not in filled})
    return list(found.values())


def execution_order(calls: Sequence[Call]) -> List[Call]:
    """Calls in an order in which each comes after what it reads; the given order wherever that is free.

    Raises:
        ValueError: there is a circle.
    """
    filled_by = {id(target): call for call in calls for target in call.targets}
    ordered: List[Call] = []
    done: Set[int] = set()
    waiting = list(calls)
    while waiting:
        later = []
        for call in waiting:
            needs = (filled_by.get(id(handle)) for handle in call.inputs)
            if all(need is None or id(need) in done for need in needs):
                ordered.append(call)
                done.add(id(call))
            else:
                later.append(call)
        if len(later) == len(waiting):
            raise ValueError(_CYCLE)
        waiting = later
    return ordered


def _nearest(module: Any, neighbours: Any) -> List[Any]:
    from gradspike.spiking.modules.types import Population, Projection

    found: Dict[int, Any] = {}
    seen: Set[int] = set()

    def visit(modules: Iterator[Any]) -> None:
        for other in modules:
            if isinstance(other, Population):
                found[id(other)] = other
            elif not isinstance(other, Projection) and id(other) not in seen:
                seen.add(id(other))
                visit(iter(neighbours(other)))

    visit(iter(neighbours(module)))
    return list(found.values())


def describe(experiment: Any, module: Any) -> str:
    """A module in a message: its class, its name or number."""
    number: Optional[int] = experiment.modules.nodes.get(module)
    name = getattr(module, "name", None)
    label = f" {name!r}" if name else ("" if number is None else f" {number}")
    return f"{type(module).__name__}{label}"
