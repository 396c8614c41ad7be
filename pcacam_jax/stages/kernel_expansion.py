"""Kernel expansions, v -> sum_i c_i k(s_i, v) + b (Eq. 6, 24), and a scale-free derivative for exponential kernels.

Far from every support vector an exponential kernel k = exp(e) and its gradient underflow to zero (Theorem 1), although
the exact gradient has a direction. Dividing by the largest exponential before summing keeps that direction.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.core.checks import InputError, check_shape
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Rows, Vector
from pcacam_jax.stages.classifier import Classifier
from pcacam_jax.stages.kernel import curved_kernel_named, exponent_named, kernel_named
from pcacam_jax.stages.parallel import Parallel


class Expansion:
    """The part that all expansions share: kernels at the support vectors, and derivatives through them.

    A subclass has the fields ``support``, ``intercept``, ``parameters``, ``kernel`` and ``relative``, see
    :class:`KernelExpansion`, and the linear map from kernel values to outputs in :meth:`sums` and :meth:`weights`.
    """

    support: Float[Array, "n D"]
    intercept: Float[Array, " P"]
    parameters: dict[str, Float[Array, ""]]
    kernel: str
    relative: bool

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(D,)``."""
        return (self.support.shape[1],)

    def sums(self, values: Float[Array, " n"]) -> Float[Array, " P"]:
        """Return ``sum_i c_pi k_i`` for one value ``k_i`` per support vector."""
        raise NotImplementedError

    def weights(self, rows: Float[Array, "T P"]) -> Float[Array, "T n"]:
        """Return ``sum_p rows_tp c_pi``, the coefficient of each support vector in each row."""
        raise NotImplementedError

    def __call__(self, v: Vector) -> Float[Array, " P"]:
        """Return the decision values ``g(v)``."""
        check_shape("v", v.shape, self.in_shape)
        return self.sums(self._for_each_support(kernel_named(self.kernel).value, v)) + self.intercept

    def forward(self, v: Vector) -> tuple[Float[Array, " P"], Any]:
        """Return ``g(v)`` and the gradients ``dk(s_i, v)/dv``, ``(n, D)``; if relative, ``e_i`` and ``de_i/dv``."""
        if not self.relative:
            return self(v), self._for_each_support(kernel_named(self.kernel).gradient, v)
        exponent = exponent_named(self.kernel)
        return self(v), (self._for_each_support(exponent.value, v), self._for_each_support(exponent.gradient, v))

    def pull_back(self, saved: Any, rows: Rows) -> Rows:
        """Return ``rows dg/dv``: ``(T, P) -> (T, D)``."""
        weights = self.weights(rows)
        if not self.relative:
            return matmul(weights, saved)
        return matmul(weights * self._scaled_kernels(saved, weights), saved[1])

    def scaled_gradients(self, saved: Any, row: Float[Array, "1 P"]) -> Float[Array, "n D"]:
        """Return ``dk/dv`` of each support vector, multiplied by the scale that the relative form uses for ``row``.

        These are residuals of the expansion with ``relative=False``. All rows pulled back through them share one scale:
        rows that sum to ``row`` give derivatives that sum to the relative derivative of ``row``.
        """
        weights = self.weights(row)
        # If the row is zero, all terms count as nonzero, so that parts which cancel still have a finite scale.
        return self._scaled_kernels(saved, jnp.where(jnp.any(weights != 0), weights, 1))[0, :, None] * saved[1]

    def _scaled_kernels(self, saved: Any, weights: Float[Array, "T n"]) -> Float[Array, "T n"]:
        """Return ``exp(e_i - max_i e_i)`` for each row, with the maximum over its nonzero terms."""
        exponents, gradients = saved
        nonzero = (weights != 0) & jnp.any(gradients != 0, axis=1)[None]
        lowest = jnp.finfo(exponents.dtype).min
        exponents = jnp.broadcast_to(exponents, nonzero.shape)
        differences = exponents - jnp.max(exponents, axis=1, keepdims=True, where=nonzero, initial=lowest)
        return jnp.exp(jnp.minimum(differences, 0))

    def jacobian(self, saved: Any) -> Float[Array, "P D"]:
        """Return ``dg/dv = sum_i alpha_i t_i dk(s_i, v)/dv``, Eq. 24."""
        if not self.relative:
            return jax.vmap(self.sums, in_axes=1, out_axes=1)(saved)
        return self.pull_back(saved, jnp.eye(len(self.intercept), dtype=self.support.dtype))

    def curvature(self, v: Vector, tangent: Vector, rows: Rows) -> Rows:
        """Return ``sum_i weights_i d2k(s_i, v)/dv2 tangent``: ``(T, P) -> (T, D)``."""
        second, _ = self._curved_kernel()
        along = self._for_each_support(lambda s, v, **parameters: second(s, v, tangent, **parameters), v)
        return matmul(self.weights(rows), along)

    def taylor(self, v: Vector, series: Float[Array, "3 D"]) -> Float[Array, "3 P"]:
        """Return the sums of the derivatives of ``k(s_i, v(t))``: ``(3, D) -> (3, P)``."""
        _, taylor = self._curved_kernel()
        along = self._for_each_support(lambda s, v, **parameters: taylor(s, v, series, **parameters), v)
        return jax.vmap(self.sums, in_axes=1)(along)

    def _curved_kernel(self) -> Any:
        if self.relative:
            raise InputError(
                "a relative expansion has no second derivative, because each of its rows has a scale of its "
                "own; use relative=False."
            )
        return curved_kernel_named(self.kernel)

    def _for_each_support(self, function: Any, v: Vector) -> Array:
        return jax.vmap(lambda s: function(s, v, **self.parameters))(self.support)


@pytree
class KernelExpansion(Expansion):
    """Kernel expansions ``v -> sum_i c_pi k(s_i, v) + b_p`` over shared support vectors, ``(D,) -> (P,)`` (Eq. 6).

    Each of the P outputs is the decision value of a binary SVM; the Jacobian is Eq. 24.

    Args:
        support: the support vectors ``s_i``, ``(n, D)``.
        coefficients: ``c_pi = alpha_i t_i`` of SVM p, ``(P, n)``; 0 where SVM p does not use support vector i. None
            stands for the identity matrix: output p is the kernel with vector p alone, as in a linear SVM whose support
            vectors have been summed.
        intercept: b, ``(P,)``.
        parameters: the parameters of the kernel by name, as in scikit-learn, such as ``gamma``.
        kernel: the name of the kernel: ``linear``, ``rbf``, ``poly`` or ``sigmoid``.
        relative: whether :meth:`pull_back` and :meth:`jacobian` return the derivative divided by a positive number, so
            that it does not underflow. It requires an exponential kernel, such as ``rbf``. The terms of each row are
            weighted by ``exp(e_i - max_i e_i)`` instead of ``exp(e_i)``, where the maximum is taken over the nonzero
            terms. The value does not change, and autodiff, which differentiates the value, gives the plain derivative.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import KernelExpansion, jacobian
        >>> svm = KernelExpansion(
        ...     support=jnp.array([[1.0, 0.0], [0.0, 1.0]]),
        ...     coefficients=jnp.array([[1.0, -1.0]]),
        ...     intercept=jnp.array([0.5]),
        ...     parameters={"gamma": jnp.array(0.5)},
        ...     kernel="rbf",
        ... )
        >>> v = jnp.array([1.0, 0.0])
        >>> round(float(svm(v)[0]), 3), [round(float(slope), 3) for slope in jacobian(svm, v)[0]]
        (1.132, [0.368, -0.368])
    """

    support: Float[Array, "n D"]
    coefficients: Float[Array, "P n"] | None
    intercept: Float[Array, " P"]
    parameters: dict[str, Float[Array, ""]]
    kernel: str = static()
    relative: bool = static(default=False)

    def sums(self, values: Float[Array, " n"]) -> Float[Array, " P"]:
        """Return the coefficients times the values."""
        if self.coefficients is None:
            check_shape("intercept", self.intercept.shape, values.shape)
            return values
        return matmul(self.coefficients, values)

    def weights(self, rows: Float[Array, "T P"]) -> Float[Array, "T n"]:
        """Return the rows times the coefficients."""
        return rows if self.coefficients is None else matmul(rows, self.coefficients)


def has_exponential_kernel(stage: Any) -> bool:
    """Return whether the derivative of ``stage`` passes through an exponential kernel, whose gradient can underflow."""
    return any(map(_is_exponential, _differentiated(stage)))


def is_relative(stage: Any) -> bool:
    """Return whether a kernel expansion in ``stage`` is relative."""
    return any(node.relative for node in _differentiated(stage) if isinstance(node, Expansion))


def relative_kernels(stage: Any) -> Any:
    """Return ``stage`` with ``relative=True`` in its kernel expansion that has an exponential kernel.

    Each row of a derivative of the result is a positive multiple of the same row of the exact derivative.

    Raises:
        InputError: there are several such expansions, or another stage is parallel to it; their derivatives are summed
            although their scales differ.
    """
    count = sum(map(_is_exponential, _differentiated(stage)))
    if count > 1:
        raise InputError(
            f"a scale-free derivative needs a single expansion in an exponential kernel, but there are {count} with "
            f"different scales; use scale_free=False."
        )
    parallel = filter(_is_parallel, jax.tree.leaves(stage, is_leaf=_is_parallel))
    if any(map(has_exponential_kernel, parallel)):
        raise InputError(
            "a scale-free derivative needs an exponential kernel without stages parallel to it, but there are some, "
            "whose scales differ; use scale_free=False."
        )
    return _set_relative(stage)


def _set_relative(stage: Any) -> Any:
    return jax.tree.map(_set_relative_in_node, stage, is_leaf=_is_node)


def _set_relative_in_node(node: Any) -> Any:
    if isinstance(node, Classifier):
        return dataclasses.replace(node, scores=_set_relative(node.scores))
    return dataclasses.replace(node, relative=True) if _is_exponential(node) else node


def _differentiated(stage: Any) -> Iterator[Any]:
    """Yield the kernel expansions and other leaves that the derivative of ``stage`` depends on."""
    for node in jax.tree.leaves(stage, is_leaf=_is_node):
        # The voter of a classifier affects only the prediction, not the derivative.
        yield from _differentiated(node.scores) if isinstance(node, Classifier) else (node,)


def _is_node(node: Any) -> bool:
    return isinstance(node, Expansion | Classifier)


def _is_exponential(node: Any) -> bool:
    return isinstance(node, Expansion) and kernel_named(node.kernel).exponent is not None


def _is_parallel(node: Any) -> bool:
    return isinstance(node, Parallel)
