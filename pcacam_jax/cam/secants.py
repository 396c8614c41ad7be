"""DeepLIFT's multipliers of each stage: secants from a reference input to an input (Shrikumar et al. 2017).

The multipliers m of a stage take the place of its Jacobian. They satisfy ``m (x - reference) = f(x) - f(reference)``,
and so does their product along a chain.

| stage | multipliers |
|---|---|
| affine stages, flattening, average, selection, fixed values, margins | the Jacobian, which is constant |
| activation, power transform | rescale rule, ``(f(u) - f(u_ref)) / (u - u_ref)``, in the limit f'(u) |
| dense layer | the rescale rule of its activation, then the kernel |
| 2 x 2 max-pool | 1 at the maximum of each window, 0 elsewhere |
| kernel of a product: linear, polynomial, tanh | the rescale rule on ``t = s^T v``, then s |
| RBF kernel | the secant of exp, then the secants of its exponent, a sum of one term for each coordinate |
| quadratic scores | the mean of the two gradients, which is the gradient at the midpoint |

The rule of the max-pool requires a reference that is constant within each window, as maps of zeros are. The maximum of
a window then differs from its reference by as much as the window's output does, also for negative maps.

Softmax, normalisation and votes have no rule: their outputs depend on several inputs jointly, and the rescale rule
applies to functions of one input.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pcacam_jax.cam.backward import through_chain, through_parallel, without_rule
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.types import Rows, Scalar, Stage, Vector
from pcacam_jax.stages import (
    Affine,
    Append,
    Classifier,
    Dense,
    DiagonalQuadratic,
    Elementwise,
    Flatten,
    GlobalAverage,
    MaxPool,
    PairwiseMargins,
    Power,
    Quadratic,
    Scaling,
    SVMClassifier,
    Take,
)
from pcacam_jax.stages.activation import activation_named
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.kernel import exponent_named, kernel_named
from pcacam_jax.stages.kernel_expansion import Expansion
from pcacam_jax.stages.parallel import Parallel
from pcacam_jax.stages.power import POWER_METHODS

Function = Callable[[Array], Array]


def secant(
    function: Function, derivative: Function, u: Float[Array, "..."], reference: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Return ``(f(u) - f(u_ref)) / (u - u_ref)`` of an element-wise function, and f'(u) where ``u = u_ref``.

    Where u and its reference agree in the first third of their digits, and f(u) and its reference too, the quotient
    loses digits. The mean value theorem then bounds it: it is clipped to the slopes at both points. This is exact at a
    kink, and keeps ``secant * (u - u_ref)`` equal to ``f(u) - f(u_ref)`` to rounding.
    """
    value, value_ref = function(u), function(reference)
    difference, change = u - reference, value - value_ref
    quotient = change / jnp.where(difference == 0, 1, difference)
    digits = jnp.finfo(u.dtype).eps ** (1 / 3)
    near = jnp.abs(difference) <= digits * jnp.maximum(1, jnp.abs(u))
    near &= jnp.abs(change) <= digits * jnp.maximum(jnp.abs(value), jnp.abs(value_ref))
    slope, slope_ref = derivative(u), derivative(reference)
    return jnp.where(near, jnp.clip(quotient, jnp.minimum(slope, slope_ref), jnp.maximum(slope, slope_ref)), quotient)


@functools.singledispatch
def secant_pull_back(stage: Stage, x: Array, reference: Array, rows: Rows) -> Rows:
    """Return rows times the multipliers of a stage, ``(T, *out) -> (T, *in)``; a rule of :mod:`.backward`.

    Raises:
        InputError: the stage has no multipliers.
    """
    raise without_rule(stage)


secant_pull_back.register(Chain, functools.partial(through_chain, secant_pull_back))
secant_pull_back.register(Parallel, functools.partial(through_parallel, secant_pull_back))


@secant_pull_back.register(Affine)
@secant_pull_back.register(Scaling)
@secant_pull_back.register(Append)
@secant_pull_back.register(Take)
@secant_pull_back.register(Flatten)
@secant_pull_back.register(GlobalAverage)
@secant_pull_back.register(MaxPool)
@secant_pull_back.register(PairwiseMargins)
def _by_derivative(stage: Stage, x: Array, reference: Array, rows: Rows) -> Rows:
    return stage.pull_back(stage.forward(x)[1], rows)


@secant_pull_back.register(Quadratic)
@secant_pull_back.register(DiagonalQuadratic)
def _quadratic(stage: Stage, x: Vector, reference: Vector, rows: Rows) -> Rows:
    return stage.pull_back(stage.forward((x + reference) / 2)[1], rows)


@secant_pull_back.register
def _elementwise(stage: Elementwise, x: Vector, reference: Vector, rows: Rows) -> Rows:
    activation = activation_named(stage.name)
    return rows * secant(activation.function, activation.derivative, x, reference)[None]


@secant_pull_back.register
def _power(stage: Power, x: Vector, reference: Vector, rows: Rows) -> Rows:
    method, exponents = POWER_METHODS[stage.method], stage.exponents
    slopes = secant(lambda u: method.function(u, exponents), lambda u: method.derivative(u, exponents), x, reference)
    return rows * slopes[None]


@secant_pull_back.register
def _dense(stage: Dense, x: Vector, reference: Vector, rows: Rows) -> Rows:
    activation = activation_named(stage.activation)
    u, u_ref = stage.preactivation(x), stage.preactivation(reference)
    return matmul(rows * secant(activation.function, activation.derivative, u, u_ref)[None], stage.kernel.T)


@secant_pull_back.register
def _svm(stage: SVMClassifier, x: Vector, reference: Vector, rows: Rows) -> Rows:
    return secant_pull_back(stage.scores, x, reference, rows)


@secant_pull_back.register
def _classifier(stage: Classifier, x: Array, reference: Array, rows: Rows) -> Rows:
    on_scores = rows[:, 1:] - rows[:, :1] if stage.rule == "sign" else rows
    return secant_pull_back(stage.scores, x, reference, on_scores)


@secant_pull_back.register
def _expansion(stage: Expansion, x: Vector, reference: Vector, rows: Rows) -> Rows:
    if stage.relative:
        raise InputError("the secants of a kernel need its values, not its relative derivative; use scale_free=False.")
    if stage.kernel not in KERNEL_SECANTS:
        raise InputError(
            f"the kernel must be one of {', '.join(KERNEL_SECANTS)}, whose secants are known; got {stage.kernel!r}, so "
            f'use a method of gradients, such as method="hirescam".'
        )
    multipliers = KERNEL_SECANTS[stage.kernel](stage, x, reference)
    return matmul(stage.weights(rows), multipliers)


def _product_secants(stage: Expansion, v: Vector, reference: Vector) -> Float[Array, "n D"]:
    """Return the secants of a kernel that is a function of ``t = s^T v``."""
    kernel, one = kernel_named(stage.kernel), jnp.ones(1, v.dtype)
    # In one dimension, with s = 1, the kernel and its gradient are this function of t and its derivative.
    function = jax.vmap(lambda t: kernel.value(one, t[None], **stage.parameters))
    derivative = jax.vmap(lambda t: kernel.gradient(one, t[None], **stage.parameters)[0])
    t, t_ref = matmul(stage.support, v), matmul(stage.support, reference)
    return secant(function, derivative, t, t_ref)[:, None] * stage.support


def _rbf_secants(stage: Expansion, v: Vector, reference: Vector) -> Float[Array, "n D"]:
    """Return the secants of ``k = exp(e)`` in e times those of e in v.

    ``e = -gamma sum_j (s_j - v_j)^2`` is a sum of one quadratic function of each coordinate, whose secant is the slope
    at the midpoint.
    """
    exponent = exponent_named(stage.kernel)

    def of_support(s: Vector) -> Vector:
        secant_of_exp = exp_secant(
            exponent.value(s, v, **stage.parameters), exponent.value(s, reference, **stage.parameters)
        )
        return secant_of_exp * exponent.gradient(s, (v + reference) / 2, **stage.parameters)

    return jax.vmap(of_support)(stage.support)


def exp_secant(e: Scalar, reference: Scalar) -> Scalar:
    """Return ``(exp(e) - exp(e_ref)) / (e - e_ref)``, accurate near ``e = e_ref`` and where both underflow."""
    distance = jnp.abs(e - reference)
    vanishes = distance == 0
    shape = jnp.where(vanishes, 1, -jnp.expm1(-distance) / jnp.where(vanishes, 1, distance))
    return jnp.exp(jnp.maximum(e, reference)) * shape


KERNEL_SECANTS = {
    "linear": _product_secants,
    "poly": _product_secants,
    "sigmoid": _product_secants,
    "rbf": _rbf_secants,
}
"""For each kernel the function (expansion, v, reference) -> its secants at each support vector, ``(n, D)``."""
