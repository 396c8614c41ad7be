"""Derivatives of a composition along a path, up to the third (Faa di Bruno's formula)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

Three = tuple[Array, Array, Array]
"""The first, second and third derivative of a function, element-wise."""


def composed(derivatives: Three, series: Float[Array, "3 ..."]) -> Float[Array, "3 ..."]:
    """Return the first three derivatives of ``f(x(t))``, element-wise.

    Args:
        derivatives: ``f'``, ``f''`` and ``f'''`` at ``x(0)``.
        series: ``x'``, ``x''`` and ``x'''`` at ``t = 0``.

    Returns:
        ``f' x'``, ``f'' x'^2 + f' x''`` and ``f''' x'^3 + 3 f'' x' x'' + f' x'''``.
    """
    f1, f2, f3 = derivatives
    x1, x2, x3 = series
    return jnp.stack([f1 * x1, f2 * x1 * x1 + f1 * x2, f3 * x1 * x1 * x1 + 3 * f2 * x1 * x2 + f1 * x3])
