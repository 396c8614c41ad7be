"""Support vector machines over kernel expansions: pairs of classes, margins and votes.

scikit-learn trains one machine for every pair of classes i < j; g_ij > 0 is a vote for i. With two classes it reports
the one machine with the other sign: g > 0 is a vote for class 1. Both conventions are kept, so that every value
equals scikit-learn's own.
"""

import itertools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pcacam_jax.core.checks import check_shape
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Stage, Vector


def pair_signs(classes: int) -> np.ndarray:
    """Return the (C, P) signs +1, -1, 0 with which pair p speaks for class c, pairs in scikit-learn's order."""
    if classes == 2:
        return np.array([[-1.0], [1.0]])
    pairs = list(itertools.combinations(range(classes), 2))
    signs = np.zeros((classes, len(pairs)))
    for p, (first, second) in enumerate(pairs):
        signs[first, p], signs[second, p] = 1.0, -1.0
    return signs


@pytree
class PairwiseMargins:
    """Pair values -> class margins s_c, the sum of the pairs that hold c, signed toward c: (P,) -> (C,).

    A choice where the paper defines the binary machine only: smooth, and antisymmetric (-g, +g) for two classes.
    """

    classes: int = static()

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(P,)."""
        return (pair_signs(self.classes).shape[1],)

    def __call__(self, pairs: Float[Array, " P"]) -> Float[Array, " C"]:
        """Return s."""
        check_shape("pairs", pairs.shape, self.in_shape)
        return matmul(self._signs(pairs), pairs)

    def forward(self, pairs: Float[Array, " P"]) -> tuple[Float[Array, " C"], Float[Array, "C P"]]:
        """Return s and the signs."""
        return self(pairs), self._signs(pairs)

    def pull_back(self, signs: Float[Array, "C P"], rows: Rows) -> Rows:
        """Return rows times signs: (T, C) -> (T, P)."""
        return matmul(rows, signs)

    def jacobian(self, signs: Float[Array, "C P"]) -> Float[Array, "C P"]:
        """Return the signs."""
        return signs

    def _signs(self, pairs: Float[Array, " P"]) -> Float[Array, "C P"]:
        # A copy: JAX would take NumPy's array as it lies in memory, which is given up right here.
        return jnp.array(pair_signs(self.classes), pairs.dtype)


def votes(first_wins: Bool[Array, " P"], classes: int) -> Int[Array, " C"]:
    """Return the votes for each class, given which of C > 2 classes' pairs are won by their first class."""
    signs = pair_signs(classes)
    return jnp.sum(jnp.where(first_wins[None], signs > 0, signs < 0), axis=1)


@pytree
class OvrDecision:
    """Pair values -> scikit-learn's "ovr" decision, votes + s / (3 (|s| + 1)): (P,) -> (C,), C > 2.

    Votes are piecewise constant, so the derivative is s' / (3 (|s| + 1)^2): a positive multiple of the margin's.
    """

    classes: int = static()
    first_at_zero: bool = static(default=True)
    """Whether a pair of exactly 0 votes for its first class, as in an SVC's decision; else for its second."""

    @property
    def margins(self) -> PairwiseMargins:
        """The stage of the margins s."""
        return PairwiseMargins(self.classes)

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(P,)."""
        return self.margins.in_shape

    def __call__(self, pairs: Float[Array, " P"]) -> Float[Array, " C"]:
        """Return votes + s / (3 (|s| + 1))."""
        s = self.margins(pairs)
        first_wins = pairs >= 0 if self.first_at_zero else pairs > 0
        return votes(first_wins, self.classes).astype(s.dtype) + s / (3 * (jnp.abs(s) + 1))

    def forward(self, pairs: Float[Array, " P"]) -> tuple[Float[Array, " C"], Float[Array, "C P"]]:
        """Return the decision and its Jacobian, which is small."""
        s, signs = self.margins.forward(pairs)
        return self(pairs), signs / (3 * (jnp.abs(s) + 1) ** 2)[:, None]

    def pull_back(self, jacobian: Float[Array, "C P"], rows: Rows) -> Rows:
        """Return rows times the Jacobian."""
        return matmul(rows, jacobian)

    def jacobian(self, jacobian: Float[Array, "C P"]) -> Float[Array, "C P"]:
        """Return signs / (3 (|s| + 1)^2), row by row."""
        return jacobian


@pytree
class SVMClassifier:
    """v -> class margins (C,), with the class that the fitted estimator predicts.

    ``pairs`` is any stage (D,) -> (P,) that ends in a kernel expansion; scaling may come before it.
    """

    pairs: Stage
    classes: int = static()
    break_ties: bool = static(default=False)
    """Whether the estimator predicts the largest "ovr" decision instead of the first class with the most votes."""

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(D,)."""
        return self.pairs.in_shape

    @property
    def margins(self) -> PairwiseMargins:
        """The stage from pair values to margins."""
        return PairwiseMargins(self.classes)

    def __call__(self, v: Vector) -> Float[Array, " C"]:
        """Return the class margins s."""
        return self.margins(self.pairs(v))

    def predict(self, v: Vector) -> Int[Array, ""]:
        """Return the index of the class that scikit-learn's ``predict`` gives."""
        pairs = self.pairs(v)
        if self.classes == 2:
            return (pairs[0] >= 0).astype(int)
        if self.break_ties:
            return jnp.argmax(OvrDecision(self.classes)(pairs))
        # A pair of exactly 0 votes for its second class here but for its first in "ovr": so does scikit-learn.
        return jnp.argmax(votes(pairs > 0, self.classes))

    def forward(self, v: Vector):
        """Return s and the by-products of both stages."""
        pairs, saved = self.pairs.forward(v)
        margins, signs = self.margins.forward(pairs)
        return margins, (saved, signs)

    def pull_back(self, saved, rows: Rows) -> Rows:
        """Return rows ds/dv: (T, C) -> (T, D)."""
        return self.pairs.pull_back(saved[0], self.margins.pull_back(saved[1], rows))

    def jacobian(self, saved) -> Float[Array, "C D"]:
        """Return ds/dv, the signed sum of the pairs' Jacobians."""
        return self.pairs.pull_back(saved[0], saved[1])
