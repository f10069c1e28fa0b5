"""Data sets of the examples, generated rather than downloaded."""

import math
from typing import Any, Callable, ClassVar, List, Optional, Tuple

import torch

__all__ = ["YinYangDataset"]


class YinYangDataset(torch.utils.data.Dataset):  # type: ignore[type-arg]  # not subscriptable at run time in all series
    """Points of the Yin-Yang figure with the class of their region: 0 yin, 1 yang, 2 dot.

    An item is `([x, y, 1 - x, 1 - y] as float64 array, class)`; with a transform, `(transform(array), class)`. The
    draws of a seed are those of hxtorch's data set of the same name, so accuracies can be compared.

    Args:
        r_small: Radius of the two dots, 0 < 2 * r_small < r_big.
        r_big: Radius of the figure, whose centre is (r_big, r_big).
        size: Number of points, at least 0.
        seed: Seed of `numpy.random.RandomState`.
        transform: Applied to the array of each item; None: the array itself.

    Raises:
        ValueError: the dots do not fit into the figure, or size is negative.
        ImportError: numpy is missing.

    Source:
        Kriener, Goeltz and Petrovici 2022, doi 10.1145/3517343.3517380.

    Example:
        >>> dataset = YinYangDataset(size=3)
        >>> [label for _, label in dataset]
        [2, 1, 2]
    """

    class_names: ClassVar[List[str]] = ["yin", "yang", "dot"]

    def __init__(
        self,
        r_small: float = 0.1,
        r_big: float = 0.5,
        size: int = 1000,
        seed: int = 42,
        transform: Optional[Callable[[Any], Any]] = None,
    ) -> None:
        super().__init__()
        if not r_small > 0:  # without dots there is no third class to draw; written so that NaN is refused
            raise ValueError(f"YinYangDataset: r_small must be above 0, got {r_small}")
        if not 2 * r_small < r_big:
            raise ValueError(f"Argument 'r_small' must not be larger than 'r_big' / 2, got {r_small} and {r_big}")
        if size < 0:
            raise ValueError(f"YinYangDataset: size must be at least 0, got {size}")
        numpy = _import_numpy()
        self.r_small = r_small
        self.r_big = r_big
        self.transform = transform
        self.rng = numpy.random.RandomState(seed)
        self._points: List[Tuple[float, float, float, float]] = []
        self._labels: List[int] = []
        for _ in range(size):
            x, y, label = self.get_sample()
            self._points.append((x, y, 1.0 - x, 1.0 - y))
            self._labels.append(label)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Tuple[Any, int]:
        point = _import_numpy().array(self._points[index], dtype="float64")
        return (point if self.transform is None else self.transform(point)), self._labels[index]

    def get_sample(self, goal: Optional[int] = None) -> Tuple[float, float, int]:
        """Draws one point of class `goal`, or of a class drawn first: `(x, y, class)`."""
        wanted = int(self.rng.randint(3)) if goal is None else goal
        while True:
            x, y = (float(value) for value in self.rng.rand(2) * 2.0 * self.r_big)
            inside = math.sqrt((x - self.r_big) ** 2 + (y - self.r_big) ** 2) <= self.r_big
            if inside and self.which_class(x, y) == wanted:
                return x, y, wanted

    def which_class(self, x: float, y: float) -> int:
        """Class of a point: 0 yin, 1 yang, 2 dot."""
        right, left = self.dist_to_right_dot(x, y), self.dist_to_left_dot(x, y)
        if right < self.r_small or left < self.r_small:
            return 2
        in_yang_dot = right <= self.r_small
        in_left_lobe = self.r_small < left <= 0.5 * self.r_big
        in_upper_half = y > self.r_big and right > 0.5 * self.r_big
        return int(in_yang_dot or in_left_lobe or in_upper_half)

    def dist_to_right_dot(self, x: float, y: float) -> float:
        """Distance to the centre of the right dot."""
        return math.sqrt((x - 1.5 * self.r_big) ** 2 + (y - self.r_big) ** 2)

    def dist_to_left_dot(self, x: float, y: float) -> float:
        """Distance to the centre of the left dot."""
        return math.sqrt((x - 0.5 * self.r_big) ** 2 + (y - self.r_big) ** 2)


def _import_numpy() -> Any:
    try:
        import numpy
    except ImportError as error:
        raise ImportError("gradspike.datasets needs numpy: install it with pip install numpy") from error
    return numpy
