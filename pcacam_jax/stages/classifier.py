"""Class-score stages that also reproduce the estimator's ``predict``."""

import math
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pcacam_jax.core.checks import check_choice
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Stage
from pcacam_jax.stages.linear import curved

RULES = ("argmax", "sign", "rounded")
ROUNDS_TO_0, ROUNDS_TO_1 = -1075 * math.log(2), -(2.0**-54)
"""Bounds on log p beyond which p rounds to 0 or 1 in float64."""


@pytree
class Classifier:
    """Class scores ``x -> (C,)`` with :meth:`predict`, which returns the class that the fitted estimator predicts.

    Args:
        scores: a stage with output ``(C,)``, or ``(1,)`` for the rule "sign".
        rule: how :meth:`predict` chooses the class, and what ``scores`` returns.

            - "argmax": C scores; the class of the largest score, the first one among equal scores.
            - "sign": one value g; the class scores are ``(-g, g)``, and class 1 is predicted if ``g > 0``, else
              class 0.
            - "rounded": C scores log p; the first class of largest p, rounded to float64, so that all p that round to
              0 are equal, and all that round to 1.
        voter: a stage with a ``predict`` method that replaces the rule, for estimators whose prediction does not
            follow from their scores. None by default.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Affine, Classifier
        >>> scores = Affine(jnp.array([[1.0, -1.0]]), jnp.zeros(2), jnp.zeros(1))
        >>> classifier = Classifier(scores, rule="sign")
        >>> classifier(jnp.array([3.0, 1.0])).tolist(), int(classifier.predict(jnp.array([3.0, 1.0])))
        ([-2.0, 2.0], 1)
    """

    scores: Stage
    rule: str = static(default="argmax")
    voter: Stage | None = None

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The input shape of ``scores``."""
        return self.scores.in_shape

    @property
    def classes(self) -> int:
        """The number of classes C."""
        if self._binary:
            return 2
        dtype = jnp.result_type(float, *jax.tree.leaves(self.scores))
        return jax.eval_shape(self.scores, jax.ShapeDtypeStruct(self.in_shape, dtype)).shape[0]

    def __call__(self, x: Array) -> Float[Array, " C"]:
        """Return the class scores."""
        return self._class_scores(self.scores(x))

    def predict(self, x: Array) -> Int[Array, ""]:
        """Return the index of the class that scikit-learn's ``predict`` gives."""
        if self.voter is not None:
            return cast(Any, self.voter).predict(x)
        scores = self(x)
        if self.rule == "rounded":
            scores = jnp.clip(scores, ROUNDS_TO_0, ROUNDS_TO_1)
        # argmax takes the first of equal scores, so g = 0 is class 0 with the rule "sign".
        return jnp.argmax(scores)

    def forward(self, x: Array):
        """Return the class scores and the residuals of ``scores``."""
        value, saved = self.scores.forward(x)
        return self._class_scores(value), saved

    def pull_back(self, saved, rows: Rows) -> Rows:
        """Return ``rows`` times the Jacobian: ``(T, C) -> (T, *in)``."""
        return self.scores.pull_back(saved, self._score_rows(rows))

    def jacobian(self, saved) -> Float[Array, "C ..."]:
        """Return the Jacobian of ``scores``; with the rule "sign" its single row, first negated and then as it is."""
        return self._class_scores(self.scores.jacobian(saved))

    def curvature(self, x: Array, tangent: Array, rows: Rows) -> Rows:
        """Return ``rows`` times the second derivative along a direction: ``(T, C) -> (T, *in)``."""
        return curved(self.scores).curvature(x, tangent, self._score_rows(rows))

    def taylor(self, x: Array, series: Float[Array, "3 ..."]) -> Float[Array, "3 C"]:
        """Return the derivatives of the class scores along a path: ``(3, *in) -> (3, C)``."""
        return jax.vmap(self._class_scores)(curved(self.scores).taylor(x, series))

    @property
    def _binary(self) -> bool:
        return check_choice("rule", self.rule, RULES) == "sign"

    def _class_scores(self, scores: Array) -> Array:
        return jnp.concatenate([-scores, scores]) if self._binary else scores

    def _score_rows(self, rows: Rows) -> Rows:
        return rows[:, 1:] - rows[:, :1] if self._binary else rows
