"""Array types, the protocol of a stage, and the table of the paper's symbols and their names in the code."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float

Scalar = Float[Array, ""]
Vector = Float[Array, " d"]
Maps = Float[Array, "h w K"]
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
