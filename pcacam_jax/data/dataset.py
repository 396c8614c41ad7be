"""A dataset: named classes, a part to fit on and a part to measure on."""

from collections import Counter
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.text import few
from pcacam_jax.data.splits import Split


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of two or more classes, divided for training and for testing.

    Attributes:
        name: what reports and caches call it.
        class_names: C distinct names, in label order.
        train: the part that models are fitted on.
        test: the part that they are measured on.

    Raises:
        InputError: fewer than two classes, an empty or repeated class name, an empty split, a label without a name, or
            a class without a training image.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split

    def __post_init__(self):
        count = len(self.class_names)
        unnamed = [name for name in self.class_names if not isinstance(name, str) or not name.strip()]
        if unnamed:
            raise InputError(
                f"the class names of {self.name} must be non-empty strings, but one is {unnamed[0]!r}; name every "
                "class."
            )
        if count < 2:
            raise InputError(
                f"the dataset {self.name} must have at least 2 classes to tell apart, but it has {count} "
                f"({', '.join(self.class_names) or 'none'}); add images of another class."
            )
        repeated = [name for name, times in Counter(self.class_names).items() if times > 1]
        if repeated:
            raise InputError(
                f"the class names of {self.name} must differ, but {', '.join(repeated)} comes more than once; rename."
            )
        for part, split in (("train", self.train), ("test", self.test)):
            if not len(split):
                raise InputError(f"the {part} split of {self.name} must hold images, but it is empty; add some.")
            if split.labels.min() < 0 or split.labels.max() >= count:
                raise InputError(
                    f"the {part} labels of {self.name} must lie in 0..{count - 1}, one for each class name, but they "
                    f"run from {split.labels.min()} to {split.labels.max()}; renumber them or name every class."
                )
        # A classifier that was not fitted on every class numbers them by itself
        absent = [self.class_names[label] for label in np.setdiff1d(np.arange(count), self.train.labels)]
        if absent:
            raise InputError(
                f"the train split of {self.name} must hold images of every class, but it has none of {few(absent)}; "
                "add some or leave these classes out."
            )

    def limited(self, per_class: int, seed: int = 0) -> "Dataset":
        """Return the dataset with at most ``per_class`` images of every class in each part.

        The same seed always draws the same images, kept in their order; a smaller limit draws some of those that a
        larger one does.

        Raises:
            InputError: ``per_class`` is no whole number from 1, or ``seed`` none from 0.
        """
        _check_whole("the limit of images of every class", per_class, 1)
        check_seed(seed)
        train, test = (
            split.take(
                _limited_rows(split.labels, len(self.class_names), per_class, np.random.default_rng([seed, part]))
            )
            for part, split in enumerate((self.train, self.test))
        )
        return replace(self, train=train, test=test)


def check_seed(seed: int) -> None:
    """Refuse a seed that is no whole number from 0.

    Raises:
        InputError: it is not.
    """
    _check_whole("the seed", seed, 0)


def _check_whole(name: str, value: Any, lowest: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < lowest:
        raise InputError(f"{name} must be a whole number from {lowest}, got {value!r}; choose another.")


def _limited_rows(labels: np.ndarray, classes: int, limit: int, generator: np.random.Generator) -> NDArray[np.int64]:
    drawn = [generator.permutation(np.flatnonzero(labels == label))[:limit] for label in range(classes)]
    return np.sort(np.concatenate(drawn))
