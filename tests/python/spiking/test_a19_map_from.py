"""A19: parameters of one model for another whose names differ."""

import pytest
import torch

from gradspike.spiking.utils.model_mapper import MixinHXModelMapper


class Model(MixinHXModelMapper, torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Parameter(torch.zeros(2))
        self.b = torch.nn.Parameter(torch.zeros(3))


def test_a19_the_same_name_wins_over_the_mapping():
    model = Model()
    source = {"a": torch.ones(2), "other": 2 * torch.ones(2), "c": 3 * torch.ones(3)}
    model.map_from(source, {"a": "other", "b": "c"})
    assert model.a.tolist() == [1, 1] and model.b.tolist() == [3, 3, 3]


def test_a19_copies_are_made_in_place():
    model = Model()
    before, source = model.a, torch.ones(2)
    model.map_from({"a": source, "b": torch.ones(3)}, {})
    source.add_(1)
    assert model.a is before and model.a.tolist() == [1, 1] and model.a.requires_grad


def test_a19_map_all_false_takes_the_mapping_alone():
    model = Model()
    model.map_from({"a": torch.ones(2), "c": torch.ones(3)}, {"b": "c"}, map_all=False)
    assert not model.a.any() and model.b.all()


def test_a19_unknown_targets_warn():
    with pytest.warns(UserWarning, match="'nonsense'"):
        Model().map_from({"a": torch.ones(2), "b": torch.ones(3)}, {"nonsense": "a"})


@pytest.mark.parametrize("mapping", [{}, {"b": "nowhere"}])
def test_a19_what_is_missing_everywhere_is_a_key_error(mapping):
    with pytest.raises(KeyError, match="'b' is not in the state dictionary"):
        Model().map_from({"a": torch.ones(2)}, mapping)
