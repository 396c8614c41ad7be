"""The ``Dataset`` class: class names, a training split and a test split."""

from collections import Counter
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.text import abbreviated, shown
from pcacam_jax.data.names import composed
from pcacam_jax.data.splits import Split

Division = dict[str, list[str]] | dict[str, list[int]]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images of two or more classes, with a training split and a test split.

    Attributes:
        name: the name of the dataset in reports.
        class_names: C distinct names, in label order.
        train: the split on which models are fitted.
        test: the split on which models are evaluated.
        division: which images of an undivided source went into each split, by ``"train"`` and ``"test"``: file names
            relative to the source, or row numbers in it; None if the source has two splits.

    Raises:
        InputError: if there are fewer than two classes, a class name is empty or repeated, a split is empty, a label
            has no name, or a class has no training image.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.data import ArraySplit, Dataset
        >>> split = ArraySplit(np.zeros((4, 28, 28), np.uint8), np.array([0, 0, 1, 1]))
        >>> dataset = Dataset("shapes", ("disc", "square"), train=split, test=split)
        >>> len(dataset.train), len(dataset.limited(1).train)
        (4, 2)
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    test: Split
    division: Division | None = field(default=None, kw_only=True)

    __repr__ = brief_repr

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
                f"the dataset {self.name} must have at least 2 classes, but it has {count} "
                f"({', '.join(self.class_names) or 'none'}); add images of another class."
            )
        repeated = [name for name, times in Counter(map(composed, self.class_names)).items() if times > 1]
        if repeated:
            raise InputError(
                f"the class names of {self.name} must differ, but {', '.join(repeated)} occurs more than once; rename "
                "the classes."
            )
        for split_name, split in (("train", self.train), ("test", self.test)):
            if not len(split):
                raise InputError(f"the {split_name} split of {self.name} must hold images, but it is empty; add some.")
            if split.labels.min() < 0 or split.labels.max() >= count:
                raise InputError(
                    f"the {split_name} labels of {self.name} must lie in 0..{count - 1}, one for each class name, but "
                    f"they run from {split.labels.min()} to {split.labels.max()}; renumber them or name every class."
                )
        # scikit-learn numbers only the classes that it was fitted on, so its outputs would no longer match the labels
        absent = [self.class_names[label] for label in np.setdiff1d(np.arange(count), self.train.labels)]
        if absent:
            raise InputError(
                f"the train split of {self.name} must hold images of every class, but it has none of "
                f"{abbreviated(absent)}; add some or remove these classes."
            )

    def limited(self, per_class: int, seed: int = 0) -> "Dataset":
        """Return the dataset with at most ``per_class`` images of every class in each split.

        The draw is random, but the same seed always draws the same images, and they stay in their original order. With
        the same seed, the images of a smaller limit are a subset of those of a larger limit.

        Args:
            per_class: the largest number of images of a class in each split.
            seed: the seed of the random draw.

        Returns:
            A dataset of the same name and classes, whose splits hold the drawn images.

        Raises:
            InputError: if ``per_class`` is not an integer of at least 1 or ``seed`` is not an integer of at least 0.
        """
        _check_integer("the limit of images of every class", per_class, 1)
        check_seed(seed)
        rows = {
            part: _limited_rows(split.labels, len(self.class_names), per_class, np.random.default_rng([seed, number]))
            for number, (part, split) in enumerate({"train": self.train, "test": self.test}.items())
        }
        division = self.division and {part: [self.division[part][row] for row in rows[part]] for part in rows}
        return replace(self, train=self.train.take(rows["train"]), test=self.test.take(rows["test"]), division=division)


def check_seed(seed: int) -> None:
    """Raise an ``InputError`` if the seed is not an integer of at least 0."""
    _check_integer("the seed", seed, 0)


def _check_integer(name: str, value: Any, lowest: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < lowest:
        raise InputError(f"{name} must be an integer of at least {lowest}, got {shown(value)}; choose another value.")


def _limited_rows(labels: np.ndarray, classes: int, limit: int, generator: np.random.Generator) -> NDArray[np.int64]:
    drawn = [generator.permutation(np.flatnonzero(labels == label))[:limit] for label in range(classes)]
    return np.sort(np.concatenate(drawn))
