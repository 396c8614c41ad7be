"""SVMs of all pairs of C classes over shared support vectors, in scikit-learn's layout of C - 1 coefficients each.

A support vector of class a takes part in the C - 1 pairs of a with another class o. Its coefficient ``alpha_i t_i`` in
that pair lies in row o if ``o < a``, else in row ``o - 1``. A matrix with one row per pair would hold C / 2 times as
many numbers, nearly all of them zero.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pcacam_jax.core.checks import check_shape
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.stages.kernel_expansion import Expansion, KernelExpansion


@functools.lru_cache(maxsize=4)
def pair_classes(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the second class of each pair, ``(P,)`` each, in scikit-learn's order.

    The order is ``(0, 1), (0, 2), ..., (1, 2), ...``. A positive value is a vote for the first class, except that
    scikit-learn reports the single value of two classes with the opposite sign, so that class 1 is first there.
    """
    if classes == 2:
        return np.ones(1, np.int32), np.zeros(1, np.int32)
    each = np.arange(classes, dtype=np.int32)
    first = np.repeat(each, classes - 1 - each)
    starts = np.cumsum(classes - 1 - each) - (classes - 1 - each)
    return first, (np.arange(len(first)) - starts[first] + first + 1).astype(np.int32)


@functools.lru_cache(maxsize=4)
def opponents(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each class and each of its C - 1 opponents their pair, and whether the class is first in it."""
    if classes == 2:
        return np.zeros((2, 1), np.int32), np.array([[False], [True]])
    label, row = np.indices((classes, classes - 1), np.int32)
    is_first = row >= label
    low, high = np.where(is_first, label, row), np.where(is_first, row + 1, label)
    return (low * classes - low * (low + 1) // 2 + high - low - 1).astype(np.int32), is_first


def signed_sums(pairs: Float[Any, " P"], classes: int) -> Float[Any, " C"]:
    """Return for each class the sum of the values of its pairs, each with the sign that favours the class."""
    pair, is_first = opponents(classes)
    return (np.where(is_first, 1, -1).astype(pairs.dtype) * pairs[pair]).sum(axis=1)


@pytree
class OneVsOneExpansion(Expansion):
    """Kernel expansions of all pairs of C > 2 classes, ``v -> sum_i alpha_i t_i k(s_i, v) + b_p``, ``(D,) -> (P,)``.

    Time and memory are proportional to the number of coefficients, ``(C - 1) n``.

    Args:
        support: the support vectors ``s_i``, ``(n, D)``, those of class 0 first, then those of class 1, ...
        dual: scikit-learn's ``dual_coef_``, ``(C - 1, n)``: the coefficients of a support vector of class a in its pair
            with class o, in row o if ``o < a``, else in row ``o - 1``.
        intercept: b, ``(P,)``, for the pairs ``(0, 1), (0, 2), ..., (1, 2), ...``.
        parameters: the parameters of the kernel by name, as in :class:`KernelExpansion`.
        counts: the number of support vectors of each class, C numbers.
        kernel: the name of the kernel.
        relative: see :class:`KernelExpansion`.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import OneVsOneExpansion
        >>> dual = jnp.array([[1.0, -1.0, -2.0], [2.0, 3.0, -3.0]])
        >>> pairs = OneVsOneExpansion(jnp.eye(3), dual, jnp.zeros(3), {}, counts=(1, 1, 1), kernel="linear")
        >>> pairs(jnp.array([1.0, 0.0, 0.0])).tolist(), pairs.coefficients.tolist()[0]
        ([1.0, 2.0, 0.0], [1.0, -1.0, 0.0])
    """

    support: Float[Array, "n D"]
    dual: Float[Array, "opponents n"]
    intercept: Float[Array, " P"]
    parameters: dict[str, Float[Array, ""]]
    counts: tuple[int, ...] = static()
    kernel: str = static()
    relative: bool = static(default=False)

    @property
    def classes(self) -> int:
        """C."""
        return len(self.counts)

    @property
    def coefficients(self) -> Float[Array, "P n"]:
        """The coefficients as a matrix with one row per pair, ``(P, n)``, which is large for many classes."""
        labels, (first, second) = self._labels(), pair_classes(self.classes)
        of_second = self._numpy.where(labels == second[:, None], self.dual[first], 0)
        return self._numpy.where(labels == first[:, None], self.dual[second - 1], of_second)

    @property
    def margins(self) -> KernelExpansion:
        """The class margins over the same support vectors, ``(D,) -> (C,)``.

        The margin of class c is the signed sum of its pairs. The support vectors of c take part in all of these pairs,
        those of another class in one.
        """
        xp = self._numpy
        labels, each = self._labels()[None], xp.arange(self.classes, dtype=np.int32)[:, None]
        of_class = xp.where(each[:-1] >= labels, self.dual, -self.dual).sum(axis=0, keepdims=True)
        first = xp.pad(self.dual, ((0, 1), (0, 0)))
        second = -xp.pad(self.dual, ((1, 0), (0, 0)))
        return KernelExpansion(
            support=self.support,
            coefficients=xp.where(each < labels, first, xp.where(each > labels, second, of_class)),
            intercept=signed_sums(self.intercept, self.classes),
            parameters=self.parameters,
            kernel=self.kernel,
            relative=self.relative,
        )

    def sums(self, values: Float[Array, " n"]) -> Float[Array, " P"]:
        """Return ``sum_i alpha_i t_i k_i`` of each pair: the part of its first class and the part of its second."""
        labels, places, _ = self._blocks()
        parts = jnp.einsum("rbq,bq->br", self._dual_blocks(), jnp.pad(values, (0, 1))[places], precision="highest")
        if len(labels) > self.classes:
            parts = jax.ops.segment_sum(parts, labels, self.classes, indices_are_sorted=True)
        first, second = pair_classes(self.classes)
        return parts[first, second - 1] + parts[second, first]

    def weights(self, rows: Float[Array, "T P"]) -> Float[Array, "T n"]:
        """Return the coefficient of each support vector in each row, a sum over the opponents of its class."""
        labels, _, inverse = self._blocks()
        of_class = rows[:, opponents(self.classes)[0]]
        blocks = jnp.einsum("tbr,rbq->tbq", of_class[:, labels], self._dual_blocks(), precision="highest")
        return blocks.reshape(len(rows), -1)[:, inverse]

    @property
    def _numpy(self) -> Any:
        """NumPy for an expansion whose arrays are NumPy's float64, as in a conversion from scikit-learn, else JAX's."""
        return np if isinstance(self.dual, np.ndarray) else jnp

    def _labels(self) -> np.ndarray:
        """Return the class of each support vector, after a check of the shapes."""
        number, classes = sum(self.counts), self.classes
        check_shape("dual", self.dual.shape, (classes - 1, number))
        check_shape("intercept", self.intercept.shape, (classes * (classes - 1) // 2,))
        check_shape("support", self.support.shape, (number, self.support.shape[1]))
        return np.repeat(np.arange(classes, dtype=np.int32), self.counts)

    def _blocks(self) -> tuple[np.ndarray, ...]:
        self._labels()
        return class_blocks(self.counts)

    def _dual_blocks(self) -> Float[Array, "opponents b q"]:
        return jnp.pad(self.dual, ((0, 0), (0, 1)))[:, class_blocks(self.counts)[1]]


@functools.lru_cache(maxsize=4)
def class_blocks(counts: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Divide support vectors that are sorted by class into blocks of one size, each of one class.

    Returns:
        The class of each block, ``(b,)``; the indices of its support vectors, ``(b, q)``, where n stands for none; and
        for each support vector its place in the flattened blocks, ``(n,)``. There are at most 2 n + C places.
    """
    total, largest = sum(counts), max(counts)
    size = largest if len(counts) * largest <= 2 * total else -(-total // len(counts))
    size = max(size, 1)
    number = [max(-(-count // size), 1) for count in counts]
    labels = np.repeat(np.arange(len(counts)), number)
    starts = np.cumsum(number) - number
    within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    inverse: Any = np.repeat(starts * size, counts) + within
    places = np.full(len(labels) * size, total)
    places[inverse] = np.arange(total)
    return tuple(array.astype(np.int32) for array in (labels, places.reshape(-1, size), inverse))
