import numpy
import pytest
import torch

from gradspike.datasets import YinYangDataset

# First points and class counts that hxtorch's data set of the same name gives for these seeds.
FIRST = [
    ((0.6803075385877797, 0.450499251969543), 2),
    ((0.09767211400638387, 0.6842330265121569), 1),
    ((0.7553614103176525, 0.4251558744912447), 2),
]


def test_golden_points():
    dataset = YinYangDataset(size=3, seed=42)
    for (point, label), ((x, y), expected) in zip((dataset[k] for k in range(3)), FIRST):
        assert point.dtype == numpy.float64 and point.shape == (4,)
        assert (point[0], point[1]) == (x, y)
        assert (point[2], point[3]) == (1 - x, 1 - y)
        assert label == expected and type(label) is int


def test_golden_counts():
    labels = [label for _, label in YinYangDataset(size=5000, seed=42)]
    assert [labels.count(k) for k in range(3)] == [1681, 1702, 1617]


def test_golden_point_of_the_test_set():
    point, label = YinYangDataset(size=1, seed=41)[0]
    assert (point[0], point[1], label) == (0.6805727261759029, 0.3209733938933629, 0)


def test_classes_are_mirror_images():
    """Turning the figure by half a turn swaps yin and yang and keeps the dots."""
    dataset = YinYangDataset(size=0)
    points = numpy.random.RandomState(0).rand(500, 2)
    for x, y in points:
        label, turned = dataset.which_class(x, y), dataset.which_class(1 - x, 1 - y)
        assert (turned == 2) == (label == 2)
        if label != 2:
            assert turned == 1 - label


def test_get_sample_gives_the_class_asked_for():
    dataset = YinYangDataset(size=0, seed=1)
    for goal in range(3):
        x, y, label = dataset.get_sample(goal)
        assert label == goal == dataset.which_class(x, y)


def test_transform_and_loader():
    dataset = YinYangDataset(size=20, transform=lambda point: torch.from_numpy(point).float())
    points, labels = next(iter(torch.utils.data.DataLoader(dataset, batch_size=7)))
    assert points.shape == (7, 4) and points.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert dataset.class_names == ["yin", "yang", "dot"] and len(dataset) == 20


def test_errors():
    with pytest.raises(ValueError, match="Argument 'r_small' must not be larger than 'r_big' / 2"):
        YinYangDataset(r_small=0.25, r_big=0.5)
    with pytest.raises(ValueError, match="size must be at least 0, got -1"):
        YinYangDataset(size=-1)
    with pytest.raises(IndexError):
        YinYangDataset(size=2)[2]


@pytest.mark.parametrize("r_small", [0.0, -0.1, float("nan")])
def test_a_dataset_without_dots_is_refused_instead_of_drawing_for_ever(r_small):
    with pytest.raises(ValueError, match="r_small must be above 0"):
        YinYangDataset(r_small=r_small, size=5)
