"""Class scores together with the class that the fitted estimator predicts from them."""

import math
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pcacam_jax.core.checks import check_choice
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Stage

RULES = ("argmax", "sign", "rounded")
ROUNDS_TO_0, ROUNDS_TO_1 = -1075 * math.log(2), -(2.0**-54)
"""The logarithms of probabilities below and above which float64 holds 0 and 1."""


@pytree
class Classifier:
    """x -> class scores (C,), with the class that the fitted estimator predicts.

    The rule "argmax" takes C scores as they are and predicts the largest, the first of equals. The rule "sign" takes
    one value g, whose class scores are (-g, g), and predicts class 1 if g > 0, else class 0. The rule "rounded" takes C
    scores log p and predicts the first of the largest p as float64 has them: those that round to 0 or to 1 are equal.
    """

    scores: Stage
    """Any stage to (C,), or to (1,) with the rule "sign"."""
    rule: str = static(default="argmax")
    voter: Stage | None = None
    """Where the estimator predicts by another rule than its scores', a stage whose ``predict`` follows it."""

    @property
    def in_shape(self) -> tuple[int, ...]:
        """The scores' input shape."""
        return self.scores.in_shape

    @property
    def classes(self) -> int:
        """C."""
        if self._sign:
            return 2
        dtype = jnp.result_type(float, *jax.tree.leaves(self.scores))
        return jax.eval_shape(self.scores, jax.ShapeDtypeStruct(self.in_shape, dtype)).shape[0]

    def __call__(self, x: Array) -> Float[Array, " C"]:
        """Return the class scores."""
        return self._both(self.scores(x))

    def predict(self, x: Array) -> Int[Array, ""]:
        """Return the index of the class that scikit-learn's ``predict`` gives."""
        if self.voter is not None:
            return cast(Any, self.voter).predict(x)
        scores = self(x)
        if self.rule == "rounded":
            scores = jnp.clip(scores, ROUNDS_TO_0, ROUNDS_TO_1)
        # A value of exactly 0 is class 0, as the first of two equal scores is.
        return jnp.argmax(scores)

    def forward(self, x: Array):
        """Return the class scores and the by-products of the scores' stage."""
        value, saved = self.scores.forward(x)
        return self._both(value), saved

    def pull_back(self, saved, rows: Rows) -> Rows:
        """Return rows times the Jacobian: (T, C) -> (T, *in)."""
        return self.scores.pull_back(saved, rows[:, 1:] - rows[:, :1] if self._sign else rows)

    def jacobian(self, saved) -> Float[Array, "C ..."]:
        """Return the scores' Jacobian; with the rule "sign" its one row twice, the first with the other sign."""
        return self._both(self.scores.jacobian(saved))

    @property
    def _sign(self) -> bool:
        return check_choice("rule", self.rule, RULES) == "sign"

    def _both(self, g: Array) -> Array:
        return jnp.concatenate([-g, g]) if self._sign else g
