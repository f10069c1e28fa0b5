"""What the tests of reading share: spikes, a recurrent layer, the comparison of a model with its network."""

import torch
from torch import Tensor

from gradspike import chip, nn

SPIKES = (torch.rand(20, 3, 5, generator=torch.Generator().manual_seed(3)) < 0.4).float()
BLOCKS = torch.block_diag(torch.ones(4, 4), torch.ones(4, 4)).bool()


def recurrent(**options) -> nn.RecurrentLIF:
    return nn.RecurrentLIF(5, 8, **{"threshold": 0.2, **options})


def require_bits(model, *inputs: Tensor, network=None) -> chip.Result:
    """Outputs, spikes and membranes of the emulator are those of the operators, for a batch and for its entries."""
    network = chip.read(model, inputs) if network is None else network
    deployed = network.deploy()
    single = tuple(x[:, :1].contiguous() for x in inputs)
    for given in (single, inputs):
        on_model, result = network.run_model(*given), deployed(*given, membrane="*")
        expected = model(*given)
        expected = [expected] if isinstance(expected, Tensor) else list(expected)
        for seen in (on_model, result):
            outputs = [seen.outputs] if isinstance(seen.outputs, Tensor) else list(seen.outputs)
            assert all(torch.equal(a, b) for a, b in zip(outputs, expected))
        assert result.spikes.keys() == on_model.spikes.keys()
        assert result.membrane.keys() == on_model.membrane.keys()
        for name, spikes in on_model.spikes.items():
            assert torch.equal(result.spikes[name], spikes), name
        for name, membrane in on_model.membrane.items():
            assert torch.equal(result.membrane[name], membrane), name
    assert all(spikes.sum() > 0 for spikes in result.spikes.values())
    return result


def one_sentence(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text and ".cpp" not in text, text
    return text
