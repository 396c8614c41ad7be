"""Random data sets, labels and choices for random fits."""

from typing import Any

import numpy as np

LABELS = ("positions", "numbers", "names")
NAMES = np.array(["wolf", "ant", "bear", "newt", "cat", "owl"])
NUMBERS = np.array([40, -3, 7, 12, 5, 100])


class Draw:
    """Random choices and data for one fit; equal seeds give equal choices and data."""

    def __init__(self, seed: int):
        """Create the random generator."""
        self.random = np.random.default_rng(seed)

    def choice(self, *options: Any) -> Any:
        """Return one of the options."""
        return options[self.random.integers(len(options))]

    def flag(self) -> bool:
        """Return True or False."""
        return bool(self.random.integers(2))

    def integer(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included."""
        return int(self.random.integers(low, high + 1))

    def number(self, low: float, high: float) -> float:
        """Return a number whose logarithm is uniform."""
        return float(np.exp(self.random.uniform(np.log(low), np.log(high))))

    def points(self, count: int = 50, size: int | None = None) -> np.ndarray:
        """Return correlated features with different scales and means, (count, size)."""
        size = size or self.integer(2, 6)
        mixed = self.random.normal(size=(count, size)) @ self.random.normal(size=(size, size))
        scales = np.exp(self.random.normal(size=size) / 2) / np.sqrt(size)
        return scales * mixed + self.random.normal(size=size)

    def labels(self, x: np.ndarray, classes: int | None = None, kind: str | None = None) -> np.ndarray:
        """Return labels of overlapping classes that depend on x: positions, other integers or strings."""
        classes = classes or self.integer(2, 5)
        scores = ((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)) @ self.random.normal(size=(x.shape[1], classes))
        which = (scores + 1.5 * self.random.normal(size=scores.shape)).argmax(axis=1)
        which[: 4 * classes] = np.arange(4 * classes) % classes
        return {"positions": which, "numbers": NUMBERS[which], "names": NAMES[which]}[kind or self.choice(*LABELS)]

    def targets(self, x: np.ndarray, outputs: int | None = None) -> np.ndarray:
        """Return noisy values that depend on x, (n,) or (n, outputs)."""
        shape = () if outputs is None else (outputs,)
        signal = np.tanh(x @ self.random.normal(size=(x.shape[1], *shape)))
        return signal + 0.3 * self.random.normal(size=(len(x), *shape))

    def labelled(self, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return points with labels."""
        x = self.points()
        return x, self.labels(x, **options)
