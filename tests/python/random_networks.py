"""Random models as Python source: every kind of wiring that can be put on a chip, in random combinations.

The source is written to a file and imported, because TorchScript compiles source text.
"""

import importlib.util
import random
import warnings
from pathlib import Path
from typing import List, Tuple

import torch

HEADER = """import torch
from torch import Tensor, nn
from typing import Tuple
from gradspike.nn import LI, LIF, RecurrentLIF, SparseSynapse, Synapse, SynapseLIF


class Model(nn.Module):
"""


class Generator:
    """Builds the two methods of a model line by line; every value is a variable name and its number of neurons."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.init: List[str] = ["super().__init__()"]
        self.body: List[str] = []
        self.count = 0
        self.layers: List[str] = []

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def assign(self, expression: str, kind: str = "v") -> str:
        name = self.name(kind)
        self.body.append(f"{name} = {expression}")
        return name

    # Each wiring takes (variable, size) and gives (variable, size).

    def wired(self, signal: Tuple[str, int]) -> Tuple[str, int]:
        value, size = signal
        r = self.random
        start, stop = sorted(r.sample(range(size + 1), 2))
        step = r.randint(1, 2)
        kept = sorted(r.sample(range(size), r.randint(1, size)))
        order = [r.randrange(-size, size) for _ in range(r.randint(1, size + 1))]
        times = r.randint(1, 3)
        choices = {
            "slice": (f"{value}[:, :, {start}:{stop}]", stop - start),
            "negative": (f"{value}[..., {-size + start}:]", size - start),
            "stepped": (f"{value}[:, :, ::{step}]", (size + step - 1) // step),
            "narrow": (f"{value}.narrow(2, {start}, {stop - start})", stop - start),
            "narrow from end": (f"{value}.narrow(-1, -1, 1)", 1),
            "select": (f"torch.index_select({value}, 2, self.{self.buffer(order, size)})", len(order)),
            "index": (f"{value}[:, :, self.{self.buffer(order)}]", len(order)),
            "mask": (f"{value}[:, :, self.{self.mask(kept, size)}]", len(kept)),
            "repeat": (f"{value}.repeat(1, 1, {times})", size * times),
            "tile": (f"torch.tile({value}, (1, 1, {times}))", size * times),
            "interleave": (f"{value}.repeat_interleave({times}, dim=2)", size * times),
            "reverse cat": (f"torch.cat([{value}[:, :, {start}:], {value}[:, :, :{start}]], dim=-1)", size),
            "contiguous": (f"{value}.contiguous()", size),
            "clone": (f"{value}.clone()", size),
            "detach": (f"{value}.detach()", size),
            "dropout": (f"self.dropout({value})", size),
            "float": (f"{value}.float()", size),
        }
        if size >= 2:
            choices["split"] = (f"{value}.split({(size + 1) // 2}, dim=2)[1]", size - (size + 1) // 2)
            choices["sizes"] = (f"torch.split({value}, [1, {size - 1}], dim=2)[-1]", size - 1)
            choices["chunk"] = (f"torch.chunk({value}, 2, dim=2)[0]", (size + 1) // 2)
        kind = r.choice(sorted(choices))
        expression, new_size = choices[kind]
        if kind == "chunk" and r.random() < 0.5:
            first, second = self.name("v"), self.name("v")
            self.body.append(f"{first}, {second} = {value}.chunk(2, dim=2)")
            return second, size - (size + 1) // 2
        return self.assign(expression), new_size

    def buffer(self, values: List[int], size: int = 0) -> str:
        name = self.name("index")
        values = [v % size for v in values] if size else values  # index_select takes none from the end
        self.init.append(f'self.register_buffer("{name}", torch.tensor({values}))')
        return name

    def mask(self, kept: List[int], size: int) -> str:
        name = self.name("chosen")
        values = [n in kept for n in range(size)]
        self.init.append(f'self.register_buffer("{name}", torch.tensor({values}))')
        return name

    def projection(self, signal: Tuple[str, int], out: int) -> str:
        r = self.random
        value, size = signal
        options = [f"scale={r.choice([16.0, 24.0, 64.0])}"]
        options += [r.choice(['receptor="excitatory"', 'receptor="inhibitory"', "min_weight=-31", "max_weight=63"])]
        options += [r.choice(['rounding="half_even"', 'rounding="half_away"', 'units="lsb"', 'gradient="identity"'])]
        if r.random() < 0.3:
            options.append(f"mask=torch.rand({out}, {size}) < 0.7")
        name = self.name("synapse")
        self.init.append(f'self.{name} = Synapse({size}, {out}, name="{name}", {", ".join(options)})')
        if r.random() < 0.2:
            chosen = f"torch.rand({size}, {out}) < 0.6"
            self.init[-1] = f'self.{name} = SparseSynapse({chosen}, name="{name}", {", ".join(options[:3])})'
        elif r.random() < 0.1:
            self.init[-1] += ".prepacked()"
        elif r.random() < 0.15:  # a float product with weights that are on the grid: the integers give the same numbers
            self.init[-1] = f'self.{name} = Synapse({size}, {out}, name="{name}", scale=8.0, rounding="none")'
            self.init.append(f"self.{name}.weight.data.mul_(8.0).round_().clamp_(-63, 63).div_(8.0)")
        return self.assign(f"self.{name}({value})", "current")

    def current(self, sources: List[Tuple[str, int]], size: int) -> str:
        """A sum of one to three terms from left to right; a term may be a concatenation of projections."""
        r = self.random
        terms = []
        for _ in range(r.choice([1, 1, 2, 3])):
            if size >= 2 and r.random() < 0.2:
                first = r.randint(1, size - 1)
                parts = [self.projection(r.choice(sources), n) for n in (first, size - first)]
                terms.append(self.assign(f"torch.cat([{', '.join(parts)}], dim=2)"))
            elif r.random() < 0.15:
                wide = self.projection(r.choice(sources), size + 2)
                terms.append(self.assign(f"{wide}[:, :, 1:-1]", "view"))
            else:
                terms.append(self.projection(r.choice(sources), size))
        total = terms[0]
        for term in terms[1:]:
            if r.random() < 0.3 and not total.startswith("view"):  # a view would change what it is a view of
                self.body.append(f"{total} += {term}")
            else:
                total = self.assign(r.choice([f"{total} + {term}", f"torch.add({term}, {total})"]))
        return total

    def parameters(self, kind: str, size: int) -> List[str]:
        r = self.random
        options = []
        if r.random() < 0.4:
            options.append(f"leak=torch.rand({size}) * 0.2")
        if r.random() < 0.3:
            options.append(f"tau_mem=nn.Parameter(torch.rand({size}) * 1e-5 + 5e-6)")
        if r.random() < 0.3:
            options.append(f"tau_syn={r.choice([5e-6, 7.3e-6])}")
        if kind != "LI":
            options.append(r.choice(["threshold=0.2", f"threshold=torch.rand({size}) * 0.5 + 0.1", "reset=-0.1"]))
            options.append(r.choice(["refractory_time=2e-6", "refractory_time=1.5e-6", "refractory_time=0.0"]))
        return options

    def neurons(self, kind: str, size: int) -> str:
        name = self.name(kind.lower())
        options = self.parameters(kind, size)
        self.init.append(f"self.{name} = {kind}({', '.join([str(size), f'name={name!r}', *options])})")
        self.layers.append(name)
        return name

    def fused(self, kind: str, signal: Tuple[str, int], size: int) -> str:
        """Neurons with their projections in one layer."""
        r = self.random
        value, inputs = signal
        options = self.parameters(kind, size) + [r.choice(['rounding="half_away"', 'gradient="identity"'])]
        if kind == "RecurrentLIF":
            options.append(r.choice(["recurrent_scale=24.0", "recurrent_max_weight=0", "input_min_weight=-31"]))
        if r.random() < 0.5:
            shape = (size, size) if kind == "RecurrentLIF" else (size, inputs)
            options.append(f"mask=torch.rand{shape} < 0.7")
        name = self.name(kind.lower())
        self.init.append(f"self.{name} = {kind}({', '.join([str(inputs), str(size), f'name={name!r}', *options])})")
        self.layers.append(name)
        return self.assign(f"self.{name}({value})", "spikes")

    def source(self, inputs: int, sizes: List[int]) -> str:
        r = self.random
        self.init.append("self.dropout = nn.Dropout(0.5)")
        signals = [(f"x{k}", sizes[k]) for k in range(inputs)]
        if r.random() < 0.3:  # an encoder: host code that makes spikes
            signals[0] = (self.assign("(x0 * 0.5 + 0.25 > 0.5).to(torch.float32)", "encoded"), sizes[0])
        fired: List[Tuple[str, int]] = []
        for _ in range(r.randint(1, 3)):
            pool = [self.wired(s) if r.random() < 0.5 else s for s in signals + fired]
            if len(pool) >= 2 and r.random() < 0.4:
                (a, n), (b, m) = r.sample(pool, 2)
                pool.append((self.assign(f"torch.cat([{a}, {b}], dim=2)"), n + m))
            pool = [s for s in pool if s[1] > 0]
            size = r.randint(1, 7)
            kind = r.choice(["LIF", "LIF", "RecurrentLIF", "SynapseLIF"])
            if kind == "LIF":
                total = self.current(pool, size)
                layer = self.neurons(kind, size)
                fired.append((self.assign(f"self.{layer}({total})", "spikes"), size))
            else:
                fired.append((self.fused(kind, r.choice(pool), size), size))
        outputs = [fired[-1][0]]
        if r.random() < 0.7:
            size = r.randint(1, 4)
            total = self.current(fired, size)
            layer = self.neurons("LI", size)
            membrane = self.assign(f"self.{layer}({total})", "membrane")
            outputs = [r.choice([membrane, f"{membrane}.amax(0)", f"torch.softmax({membrane}.amax(0), dim=1)"])]
            if r.random() < 0.5:
                outputs.append(f"{fired[0][0]}.sum(0)")
        arguments = ", ".join(f"x{k}: Tensor" for k in range(inputs))
        returned = "Tensor" if len(outputs) == 1 else f"Tuple[{', '.join(['Tensor'] * len(outputs))}]"
        text = HEADER + "    def __init__(self):\n" + "".join(f"        {line}\n" for line in self.init)
        text += f"\n    def forward(self, {arguments}) -> {returned}:\n"
        text += "".join(f"        {line}\n" for line in self.body)
        return text + f"        return {', '.join(outputs)}\n"


def random_model(seed: int, folder: Path) -> Tuple[torch.nn.Module, List[torch.Tensor]]:
    """A model and inputs of spike counts for it."""
    generator = Generator(seed)
    inputs = generator.random.randint(1, 3)
    sizes = [generator.random.randint(2, 6) for _ in range(inputs)]
    path = folder / f"random_model_{seed}.py"
    path.write_text(generator.source(inputs, sizes))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(seed)
    with warnings.catch_warnings():  # of weights that all round to zero, which may happen to a matrix of one
        warnings.simplefilter("ignore")
        model: torch.nn.Module = module.Model()
    spikes = [torch.poisson(torch.full((12, 3, size), 0.4)) for size in sizes]
    return model, spikes
