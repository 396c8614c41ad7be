"""Array types, the protocol of a stage, and the table of the paper's symbols and their names in the code."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float

Scalar = Float[Array, ""]
Vector = Float[Array, " d"]
Maps = Float[Array, "*space K"]
Rows = Float[Array, "T ..."]
"""T row vectors: the derivatives of T targets with respect to a stage's output or input."""


@runtime_checkable
class Stage(Protocol):
    """A differentiable function of one example with a closed-form derivative; use :func:`jax.vmap` for a batch.

    ``saved`` holds the residuals that :meth:`forward` computes for the derivative. Their form is private to the stage.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Elementwise
        >>> stage = Elementwise("relu", 2)
        >>> value, saved = stage.forward(jnp.array([-1.0, 2.0]))
        >>> stage.pull_back(saved, jnp.array([[5.0, 7.0]])).tolist()
        [[0.0, 7.0]]
    """

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Shape of the input."""
        ...

    def __call__(self, x: Array, /) -> Array:
        """Return the stage's value at ``x``."""
        ...

    def forward(self, x: Array, /) -> tuple[Array, Any]:
        """Return the value at ``x`` and the residuals that the derivative reuses."""
        ...

    def pull_back(self, saved: Any, rows: Rows, /) -> Rows:
        """Return ``rows`` times the Jacobian: ``(T, *out) -> (T, *in)``."""
        ...

    def jacobian(self, saved: Any, /) -> Array:
        """Return the Jacobian ``(*out, *in)``, laid out as by :func:`jax.jacrev`."""
        ...


@runtime_checkable
class CurvedStage(Stage, Protocol):
    """A stage that also has its second and third derivatives in closed form.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import Elementwise
        >>> stage, u = Elementwise("exp", 2), jnp.zeros(2)
        >>> stage.curvature(u, jnp.array([1.0, 2.0]), jnp.array([[1.0, 3.0]])).tolist()
        [[1.0, 6.0]]
        >>> stage.taylor(u, jnp.array([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]])).tolist()
        [[1.0, 2.0], [1.0, 4.0], [1.0, 8.0]]
    """

    def curvature(self, x: Array, tangent: Array, rows: Rows, /) -> Rows:
        """Return ``sum_o rows[:, o] d2 s_o(x)[tangent, .]``, Hessians of T weighted sums of outputs times a direction.

        Args:
            x: the example.
            tangent: the direction, of the shape of ``x``.
            rows: the weights of the outputs, ``(T, *out)``.

        Returns:
            The products, ``(T, *in)``.
        """
        ...

    def taylor(self, x: Array, series: Array, /) -> Array:
        """Return the first three derivatives of ``s(x(t))`` at ``t = 0`` for a path with ``x(0) = x``.

        Args:
            x: the example.
            series: the first, second and third derivative of the path at ``t = 0``, ``(3, *in)``.

        Returns:
            The derivatives, ``(3, *out)``, not divided by factorials.
        """
        ...


class Notation(NamedTuple):
    """One row of the notation table."""

    symbol: str
    name: str
    shape: str
    meaning: str


NOTATION = (
    Notation("F", "maps", "(h, w, K)", "feature maps at the tap, channels last"),
    Notation("x_0", "Flatten()(maps)", "(h w K,)", "flattened maps, Eq. 1-2"),
    Notation("W_n, b_n", "Dense.kernel.T, Dense.bias", "(d_n, d_{n-1}), (d_n,)", "parameters of dense layer n, Eq. 3"),
    Notation("u_n", "preactivation", "(d_n,)", "W_n x_{n-1} + b_n, Eq. 16"),
    Notation("f", "activation", "", "activation function, Eq. 18-19"),
    Notation("m", "at", "", "the dense layer whose output feeds the PCA"),
    Notation("x_m", "HybridHead.trunk(maps)", "(d_m,)", "output of dense layer m"),
    Notation("P, mu", "Affine.matrix.T, Affine.center", "(d_m, D), (d_m,)", "leading eigenvectors and mean, Eq. 4-5"),
    Notation("v", 'head(maps)["pca"]', "(D,)", "PCA features, Eq. 5"),
    Notation("s_i", "KernelExpansion.support", "(n, D)", "support vectors, Eq. 6"),
    Notation("alpha_i t_i", "KernelExpansion.coefficients", "(P, n)", "signed multipliers, one row per class pair"),
    Notation("alpha_i t_i", "OneVsOneExpansion.dual", "(C - 1, n)", "the same, one row per opponent of their class"),
    Notation("k", "KERNELS[name].value", "()", "kernel, Eq. 7"),
    Notation("g", "KernelExpansion(v)", "(P,)", "SVM decision values, Eq. 6"),
    Notation("s_c", 'head(maps)["svm_..."]', "(C,)", "class margins, signed sums over the pairs that contain class c"),
    Notation("y", 'head(maps)["cnn"]', "(C,)", "class scores of the plain CNN, before softmax"),
    Notation("d*", "critical_distance(gamma)", "()", "distance at which an RBF kernel's gradient is largest, Eq. 31"),
    Notation("a_k", "channel weights", "(T, K)", "mean over positions of d target / d F_k, Eq. 9-10"),
    Notation("L", "Explanation.signed", "(B, T, h, w)", "sum_k a_k F_k, Eq. 8, 10, 14, before any ReLU"),
    Notation("L_i", "Evidence.maps", "(B, n, h, w)", "contribution of support vector i to a decision's map, Eq. 24"),
    Notation("L+, L-", "Explanation.positive, .negative", "(B, T, h, w)", "ReLU(L), ReLU(-L), Eq. 11"),
)
"""The notation table; each row holds the paper's symbol, the name in the code, the shape and the meaning."""
