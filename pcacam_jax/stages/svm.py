"""Multiclass SVMs built from binary SVMs of class pairs: margins, votes and decision values.

scikit-learn trains one binary SVM for each pair of classes i < j, where g_ij > 0 is a vote for class i. With two
classes it reports the single decision value with the opposite sign: g > 0 is a vote for class 1. This module follows
both conventions, so its values equal those of scikit-learn.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pcacam_jax.core.checks import check_shape
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Stage, Vector
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.kernel_expansion import KernelExpansion
from pcacam_jax.stages.linear import PiecewiseLinear, curved
from pcacam_jax.stages.one_vs_one import OneVsOneExpansion, opponents, pair_classes, signed_sums
from pcacam_jax.stages.taylor import Three, composed


@pytree
class PairwiseMargins(PiecewiseLinear):
    """Class margins ``s_c``: the sum of the decision values of all pairs that contain class c, ``(P,) -> (C,)``.

    Each decision value enters with the sign that makes a vote for class c positive. The paper defines only the binary
    SVM (Eq. 6); the margins are a smooth score for C classes. For two classes they are ``(-g, g)``.

    Args:
        classes: C.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import PairwiseMargins
        >>> PairwiseMargins(3)(jnp.array([1.0, 2.0, 3.0])).tolist()  # pairs (0, 1), (0, 2), (1, 2)
        [3.0, 2.0, -5.0]
    """

    classes: int = static()

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(P,)``."""
        return (self.classes * (self.classes - 1) // 2,)

    def __call__(self, pairs: Float[Array, " P"]) -> Float[Array, " C"]:
        """Return the margins s."""
        check_shape("pairs", pairs.shape, self.in_shape)
        return signed_sums(pairs, self.classes)

    def forward(self, pairs: Float[Array, " P"]) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        """Return the margins s twice; the derivative uses only their dtype."""
        s = self(pairs)
        return s, s

    def pull_back(self, s: Float[Array, " C"], rows: Rows) -> Rows:
        """Return the difference of the first and the second class of each pair: ``(T, C) -> (T, P)``."""
        first, second = pair_classes(self.classes)
        return rows[:, first] - rows[:, second]

    def jacobian(self, s: Float[Array, " C"]) -> Float[Array, "C P"]:
        """Return the signs with which pairs count for classes: +1, -1, or 0 if the pair does not contain the class."""
        return self.pull_back(s, jnp.eye(self.classes, dtype=s.dtype))


def votes(first_wins: Bool[Array, " P"], classes: int) -> Int[Array, " C"]:
    """Return the number of votes for each class, ``(C,)``.

    Args:
        first_wins: whether the first class of each pair wins, ``(P,)``.
        classes: C, larger than 2.
    """
    pair, is_first = opponents(classes)
    return jnp.sum(first_wins[pair] == is_first, axis=1)


def compressed(s: Float[Array, " C"]) -> Float[Array, " C"]:
    """Return ``h(s) = s / (3 (|s| + 1))``, which lies between -1/3 and 1/3."""
    return s / (3 * (jnp.abs(s) + 1))


def compressed_derivatives(s: Float[Array, " C"]) -> Three:
    """Return ``h' = 1 / (3 (|s| + 1)^2)``, ``h'' = -2 sign(s) / (3 (|s| + 1)^3)`` and ``h''' = 2 / (|s| + 1)^4``."""
    size = jnp.abs(s) + 1
    root = 1 / size
    return 1 / (3 * size**2), -2 * jnp.sign(s) * root * root * root / 3, 2 * (root * root) * (root * root)


@pytree
class OvrDecision:
    """scikit-learn's "ovr" decision values of an SVC, ``votes + s / (3 (|s| + 1))``, ``(P,) -> (C,)``, for ``C > 2``.

    The votes are piecewise constant, so the derivative is ``s' / (3 (|s| + 1)^2)``, a positive multiple of the
    derivative of the margin s.

    Args:
        classes: C.
        first_at_zero: whether a decision value of exactly 0 is a vote for the first class of its pair, as in an SVC's
            decision function, or for the second.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import OvrDecision
        >>> [round(float(d), 3) for d in OvrDecision(3)(jnp.array([1.0, 2.0, 3.0]))]
        [2.25, 1.222, -0.278]
    """

    classes: int = static()
    first_at_zero: bool = static(default=True)

    @property
    def margins(self) -> PairwiseMargins:
        """The stage that computes the margins s."""
        return PairwiseMargins(self.classes)

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(P,)``."""
        return self.margins.in_shape

    def __call__(self, pairs: Float[Array, " P"]) -> Float[Array, " C"]:
        """Return ``votes + s / (3 (|s| + 1))``."""
        s = self.margins(pairs)
        first_wins = pairs >= 0 if self.first_at_zero else pairs > 0
        return votes(first_wins, self.classes).astype(s.dtype) + compressed(s)

    def forward(self, pairs: Float[Array, " P"]) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        """Return the decision values and the slopes ``1 / (3 (|s| + 1)^2)``."""
        return self(pairs), compressed_derivatives(self.margins(pairs))[0]

    def pull_back(self, slopes: Float[Array, " C"], rows: Rows) -> Rows:
        """Return ``rows`` times the slopes, pulled back through the margins: ``(T, C) -> (T, P)``."""
        return self.margins.pull_back(slopes, rows * slopes[None])

    def jacobian(self, slopes: Float[Array, " C"]) -> Float[Array, "C P"]:
        """Return the Jacobian of the margins times the slopes."""
        return self.margins.jacobian(slopes) * slopes[:, None]

    def curvature(self, pairs: Float[Array, " P"], tangent: Float[Array, " P"], rows: Rows) -> Rows:
        """Return ``rows`` times ``h''(s) ds``, pulled back through the margins, where h is :func:`compressed`."""
        s, along = self.margins(pairs), self.margins(tangent)
        return self.margins.pull_back(s, rows * (compressed_derivatives(s)[1] * along)[None])

    def taylor(self, pairs: Float[Array, " P"], series: Float[Array, "3 P"]) -> Float[Array, "3 C"]:
        """Return the derivatives of ``h(s(t))``; the votes are constant: ``(3, P) -> (3, C)``."""
        return composed(compressed_derivatives(self.margins(pairs)), jax.vmap(self.margins)(series))


@pytree
class SVMClassifier:
    """Class margins ``v -> (C,)`` of an SVC, with :meth:`predict`, which returns the class that the SVC predicts.

    Args:
        pairs: a stage ``(D,) -> (P,)`` that ends in a :class:`KernelExpansion` or :class:`OneVsOneExpansion`, such as a
            scaler and an expansion.
        classes: C.
        break_ties: whether the SVC predicts the class of largest "ovr" decision value, as with scikit-learn's
            ``break_ties=True``, instead of the first class with the most votes.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import KernelExpansion, SVMClassifier
        >>> pair = KernelExpansion(jnp.eye(2), jnp.array([[1.0, -1.0]]), jnp.zeros(1), {}, kernel="linear")
        >>> svm = SVMClassifier(pair, classes=2)
        >>> svm(jnp.array([3.0, 1.0])).tolist(), int(svm.predict(jnp.array([3.0, 1.0])))
        ([-2.0, 2.0], 1)
    """

    pairs: Stage
    classes: int = static()
    break_ties: bool = static(default=False)

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(D,)``."""
        return self.pairs.in_shape

    @property
    def scores(self) -> Stage:
        """The class margins as one stage ``(D,) -> (C,)``."""
        return margins_of(self.pairs, self.classes)

    def __call__(self, v: Vector) -> Float[Array, " C"]:
        """Return the class margins s."""
        return self.scores(v)

    def predict(self, v: Vector) -> Int[Array, ""]:
        """Return the index of the class that scikit-learn's ``predict`` gives."""
        pairs = self.pairs(v)
        if self.classes == 2:
            return (pairs[0] >= 0).astype(int)
        if self.break_ties:
            return jnp.argmax(OvrDecision(self.classes)(pairs))
        # As in scikit-learn, a value of exactly 0 is a vote for the second class here, but for the first one in "ovr".
        return jnp.argmax(votes(pairs > 0, self.classes))

    def forward(self, v: Vector):
        """Return the margins s and the residuals of :attr:`scores`."""
        return self.scores.forward(v)

    def pull_back(self, saved, rows: Rows) -> Rows:
        """Return ``rows ds/dv``: ``(T, C) -> (T, D)``."""
        return self.scores.pull_back(saved, rows)

    def jacobian(self, saved) -> Float[Array, "C D"]:
        """Return ``ds/dv``, the signed sum of the Jacobians of the pairs."""
        return self.scores.jacobian(saved)

    def curvature(self, v: Vector, tangent: Vector, rows: Rows) -> Rows:
        """Return ``rows d2s/dv2 tangent``: ``(T, C) -> (T, D)``."""
        return curved(self.scores).curvature(v, tangent, rows)

    def taylor(self, v: Vector, series: Float[Array, "3 D"]) -> Float[Array, "3 C"]:
        """Return the derivatives of the margins along a path: ``(3, D) -> (3, C)``."""
        return curved(self.scores).taylor(v, series)


def margins_of(pairs: Stage, classes: int) -> Stage:
    """Return the class margins as one stage, without the values of all pairs where coefficients can be summed first."""
    if isinstance(pairs, Chain):
        *before, last = pairs.stages
        return Chain((*before, margins_of(last, classes)))
    if isinstance(pairs, OneVsOneExpansion):
        return pairs.margins
    margins = PairwiseMargins(classes)
    if isinstance(pairs, KernelExpansion) and pairs.coefficients is None:
        summed = jax.vmap(margins, in_axes=1, out_axes=1)(pairs.support)
        return dataclasses.replace(pairs, support=summed, intercept=margins(pairs.intercept))
    return Chain((pairs, margins))
