"""What tools/check-packages runs with an installed wheel, outside the source tree: bare_environment.py ARCHIVE ROOT"""

import importlib.util
import sys
import warnings
from pathlib import Path

OPTIONAL = ("nir", "matplotlib", "tqdm", "h5py", "sklearn", "pytest")


def main(archive: str, root: str) -> None:
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.jit")
    assert not [name for name in OPTIONAL if importlib.util.find_spec(name)], "the environment is not bare"
    import torch

    before = set(sys.modules)
    import gradspike

    others = {name.partition(".")[0] for name in set(sys.modules) - before} - {"gradspike", *sys.stdlib_module_names}
    assert not others, f"import gradspike imports {', '.join(sorted(others))}"
    place = Path(gradspike.__file__)
    assert not place.is_relative_to(root) and place.is_relative_to(sys.prefix), place
    print(gradspike.version_info())
    assert Path(gradspike.version_info().library_directory) == place.parent / "lib"

    spikes = (torch.rand(38, 2, 5) < 0.2).float()
    model = gradspike.load(archive)
    model(spikes).sum().backward()
    assert torch.equal(gradspike.chip.deploy(model)(spikes).outputs, model(spikes))
    gradspike.save(model, "again.pt")
    layers = torch.nn.Sequential(gradspike.nn.Synapse(5, 4, name="a"), gradspike.nn.LIF(4, name="b"))
    gradspike.export(layers, "again.pt2", example=spikes)
    assert gradspike.open_network("again.pt2").check().verdict
    import gradspike.compat
    import gradspike.spiking

    for use, sentence in (
        (lambda: gradspike.nir.to_nir(layers), "nir"),
        (lambda: gradspike.plot.learning_curve({}), "plot"),
    ):
        try:
            use()
        except ImportError as error:
            assert "pip install" in str(error) and "\n" not in str(error) and sentence in str(error), error
            print(error)
        else:
            raise AssertionError(f"{sentence} works without its package")


if __name__ == "__main__":
    main(*sys.argv[1:])
