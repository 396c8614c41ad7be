"""The alphabet: array aliases, what a stage is, and the paper's symbols beside the names in the code."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, Float

Scalar = Float[Array, ""]
Vector = Float[Array, " d"]
Maps = Float[Array, "h w K"]
Rows = Float[Array, "T ..."]
"""A stack of T row vectors: derivatives of T targets with respect to a stage's output or input."""


@runtime_checkable
class Stage(Protocol):
    """A differentiable map of ONE example with its closed-form derivative.

    ``saved`` is what the forward pass leaves for the derivative; it is private to the stage.
    """

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Shape of the input."""
        ...

    def __call__(self, x: Array, /) -> Array:
        """Return the stage's value at ``x``."""
        ...

    def forward(self, x: Array, /) -> tuple[Array, Any]:
        """Return the value at ``x`` and the by-products that the derivative reuses."""
        ...

    def pull_back(self, saved: Any, rows: Rows, /) -> Rows:
        """Multiply (T, *out) rows with the Jacobian from the left: (T, *in)."""
        ...

    def jacobian(self, saved: Any, /) -> Array:
        """Return the Jacobian (*out, *in), rows = outputs, as :func:`jax.jacrev` lays it out."""
        ...


class Notation(NamedTuple):
    """One line of the notation table."""

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
    Notation("alpha_i t_i", "KernelExpansion.coefficients", "(P, n)", "signed multipliers, a row per pair of classes"),
    Notation("k", "KERNELS[name].value", "()", "kernel, Eq. 7"),
    Notation("g", "KernelExpansion(v)", "(P,)", "SVM decision values, Eq. 6"),
    Notation("s_c", 'head(maps)["svm_..."]', "(C,)", "class margins: signed sums of the pairs that hold class c"),
    Notation("y", 'head(maps)["cnn"]', "(C,)", "class scores of the plain CNN, before softmax"),
    Notation("d*", "critical_distance(gamma)", "()", "distance of greatest influence of an RBF kernel, Eq. 31"),
    Notation("a_k", "channel weights", "(T, K)", "mean over positions of d target / d F_k, Eq. 9-10"),
    Notation("L", "Explanation.signed", "(B, T, h, w)", "sum_k a_k F_k, Eq. 8, 10, 14, before any ReLU"),
    Notation("L_i", "Evidence.maps", "(B, n, h, w)", "part of support vector i in the map of a decision, Eq. 24"),
    Notation("L+, L-", "Explanation.positive, .negative", "(B, T, h, w)", "ReLU(L), ReLU(-L), Eq. 11"),
)
"""The notation table: the paper's symbol, the name in the code, the shape, the meaning."""
