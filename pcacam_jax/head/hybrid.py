"""The hybrid head: a trunk from feature maps to x_m, then the outputs "cnn", "pca" and one per SVM (Eq. 3, 5, 6)."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Maps, Rows, Stage, Vector
from pcacam_jax.head.axis_order import mark_like
from pcacam_jax.stages.activation import Elementwise
from pcacam_jax.stages.append import Append
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.dense import Dense
from pcacam_jax.stages.flatten import ORDERS, Flatten, GlobalAverage, MapsShape, MaxPool, spatial_mean


class HeadResiduals(NamedTuple):
    """The residuals of a head's forward pass, which its derivatives reuse."""

    trunk: tuple
    """One entry per stage of the trunk."""
    cnn: Any
    """None without an output "cnn"."""
    pca: Any
    """None without a PCA."""
    svms: dict[str, Any]
    """By name of the SVM."""


@pytree
class HybridHead:
    """The part of a network behind the tap, with a PCA and SVMs, for one example; use :func:`jax.vmap` for a batch.

    It maps feature maps ``(h, w, K)`` to the logits ``"cnn"`` ``(C,)`` (Eq. 3), the components ``"pca"`` ``(D,)``
    (Eq. 5) and the class scores ``(C,)`` of each SVM under its name (Eq. 6). Without a PCA there is no output
    ``"pca"``, and the SVMs read ``x_m``. Without dense layers there is no output ``"cnn"``, and ``x_m`` is the vector
    of flattened or averaged maps. Use :func:`pcacam_jax.hybrid_head` to build a head from fitted estimators.

    Example:
        >>> import jax.numpy as jnp
        >>> from pcacam_jax import hybrid_head
        >>> head = hybrid_head([(jnp.ones((4, 2)), jnp.array([0.0, 1.0]))], maps_shape=(1, 2, 2), at=1)
        >>> head(jnp.ones((1, 2, 2)))["cnn"].tolist()
        [4.0, 5.0]
    """

    spatial: Chain
    """The stages from the maps at the tap to ``x_0``, ``(h, w, K) -> (d_0,)``: a flattening or a global average."""
    dense: Chain
    """Dense layers 1 to m, ``x_0 -> x_m``, ``(d_0,) -> (d_m,)``; may be empty."""
    cnn: Stage | None
    """Dense layers m + 1 to N, from ``x_m`` to the logits, ``(d_m,) -> (C,)``; None without dense layers."""
    pca: Stage | None
    """The PCA or another reducer, ``x_m -> v``, ``(d_m,) -> (D,)``, in the unit of ``x_m`` unless it whitens."""
    svms: dict[str, Stage]
    """SVMs, other classifiers (stages with a method ``predict``) and regressors by name, each ``(D,) -> (C,)``."""
    names: tuple[tuple[str, tuple[str, ...]], ...] = static()
    """Pairs (output, names of its entries), in order; the entries are classes or components."""
    spaces: tuple[tuple[str, str], ...] = static(default=())
    """Pairs (SVM, what its scores are), such as ("svm", "log_proba"), for SVMs whose scores are not margins."""
    shares: Float[Array, " D"] | None = None
    """The share of the variance that each component explains, ``(D,)``; None if it is not known. It refers to what the
    PCA reads: ``x_m``, or in a pipeline the output of the step before the PCA."""
    columns: int = static(default=0)
    """The number c of further columns, such as clinical values, that SVMs read behind the components, see
    :meth:`with_columns`."""

    @property
    def in_shape(self) -> tuple[int, ...]:
        """``(h, w, K)``."""
        return self.spatial.in_shape

    @property
    def trunk(self) -> Chain:
        """The stages from the maps to ``x_m``."""
        return Chain((*self.spatial.stages, *self.dense.stages))

    @property
    def outputs(self) -> dict[str, tuple[str, ...]]:
        """The names of the entries of each output, by output, in order."""
        return dict(self.names)

    @property
    def svm_names(self) -> tuple[str, ...]:
        """The names of the SVMs in order; ``svms`` loses the order, because JAX sorts the keys of dictionaries."""
        return tuple(name for name in self.outputs if name in self.svms)

    @property
    def classifiers(self) -> tuple[str, ...]:
        """The outputs that predict a class, in order."""
        return tuple(name for name in self.outputs if name == "cnn" or hasattr(self.svms.get(name), "predict"))

    @property
    def dtype(self) -> jnp.dtype:
        """The dtype in which the head computes."""
        leaves = jax.tree.leaves(self)
        return leaves[0].dtype if leaves else jax.dtypes.canonicalize_dtype(float)

    def space(self, output: str) -> str:
        """Return what the values of an output are: "logit", "component", "margin", "decision", "log_proba", ..."""
        return {"cnn": "logit", "pca": "component", **dict(self.spaces)}.get(output, "margin")

    def path(self, output: str) -> Chain:
        """Return the stages from ``x_m`` to an output."""
        stages = (self.cnn,) if output == "cnn" else (self.pca, self.svms.get(output))
        return Chain(tuple(stage for stage in stages if stage is not None))

    def with_columns(self, values: Float[Array, " c"]) -> "HybridHead":
        """Return the head for examples with these values of the further columns, ``(c,)``, which are held fixed.

        It is an ordinary head, whose SVMs read the components alone, so that derivatives and :func:`pcacam_jax.verify`
        apply to it.

        Raises:
            InputError: the number of values is not ``columns``.
        """
        values = jnp.asarray(values, self.dtype)
        if values.shape != (self.columns,):
            raise InputError(f"the values of further columns must have shape ({self.columns},); got {values.shape}.")
        largest = max(stage.in_shape[0] for stage in self.svms.values()) if self.svms else 0
        append = Append(values, largest - self.columns)
        svms = {
            name: stage if stage.in_shape == append.in_shape else append.before(stage)
            for name, stage in self.svms.items()
        }
        return mark_like(dataclasses.replace(self, svms=svms, columns=0), self)

    def __call__(self, maps: Maps) -> dict[str, Vector]:
        """Return the values of all outputs by name."""
        return self.forward(maps)[0]

    def components(self, maps: Maps) -> Vector:
        """Return the vector that the SVMs read: the components ``v``, or ``x_m`` without a PCA."""
        return self._components_at(self.trunk(maps))

    def predict(self, maps: Maps) -> dict[str, Int[Array, ""]]:
        """Return the class index of each classifier: the argmax for the CNN, the estimator's rule for the others."""
        self._check_no_columns()
        x_m = self.trunk(maps)
        v = self._components_at(x_m)
        estimators: dict[str, Any] = {name: self.svms[name] for name in self.classifiers if name in self.svms}
        predicted = {name: stage.predict(v) for name, stage in estimators.items()}
        return predicted if self.cnn is None else {"cnn": jnp.argmax(self.cnn(x_m)), **predicted}

    def _check_no_columns(self) -> None:
        if self.columns:
            raise InputError(
                f"an SVM of this head reads {self.columns} further columns; give their values to explain as columns=, "
                f"or use head.with_columns(values), a head for examples with these values."
            )

    def _components_at(self, x_m: Vector) -> Vector:
        return x_m if self.pca is None else self.pca(x_m)

    def forward(self, maps: Maps) -> tuple[dict[str, Vector], HeadResiduals]:
        """Return the values of all outputs and the residuals of all stages."""
        self._check_no_columns()
        x_m, trunk = self.trunk.forward(maps)
        values, cnn, pca, svms = {}, None, None, {}
        if self.cnn is not None:
            values["cnn"], cnn = self.cnn.forward(x_m)
        v = x_m
        if self.pca is not None:
            v, pca = self.pca.forward(x_m)
            values["pca"] = v
        for name in self.svm_names:
            values[name], svms[name] = self.svms[name].forward(v)
        return values, HeadResiduals(trunk, cnn, pca, svms)

    def mixture(self, saved: HeadResiduals, rows: dict[str, Rows]) -> dict[str, Float[Array, "T D"]]:
        """Pull the rows of each SVM back to its input: ``rows ds/dv``, the weights of the components' maps."""
        names = [name for name in self.svm_names if name in rows]
        return {name: self.svms[name].pull_back(saved.svms[name], rows[name]) for name in names}

    def pull_back_to_trunk(self, saved: HeadResiduals, rows: dict[str, Rows]) -> Float[Array, "T d_m"]:
        """Pull rows of any outputs back to ``x_m``, stacked in the order of the head's outputs.

        ``rows`` holds ``(T_o, size of output o)`` for each requested output o. The rows of the PCA and of all SVMs are
        pulled back through the PCA together.
        """
        blocks = []
        if self.cnn is not None and "cnn" in rows:
            blocks.append(self.cnn.pull_back(saved.cnn, rows["cnn"]))
        on_components = list(self.mixture(saved, rows).values())
        if "pca" in rows:
            on_components.insert(0, rows["pca"])
        if on_components:
            stacked = jnp.concatenate(on_components)
            blocks.append(stacked if self.pca is None else self.pca.pull_back(saved.pca, stacked))
        return jnp.concatenate(blocks)

    def pull_back(self, saved: HeadResiduals, rows: dict[str, Rows]) -> Float[Array, "T h w K"]:
        """Pull rows of any outputs back to the maps, all together, ``(T, h, w, K)`` (Eq. 13, 15)."""
        return self.trunk.pull_back(saved.trunk, self.pull_back_to_trunk(saved, rows))

    def pull_back_pooled(self, saved: HeadResiduals, rows: dict[str, Rows]) -> Float[Array, "T K"]:
        """Return the mean of :meth:`pull_back` over positions, the Grad-CAM weights ``a_k``, ``(T, K)`` (Eq. 9-10)."""
        return self.pull_trunk_back_pooled(saved, self.pull_back_to_trunk(saved, rows))

    def pull_trunk_back_pooled(self, saved: HeadResiduals, rows: Float[Array, "T d_m"]) -> Float[Array, "T K"]:
        """Return the mean over positions of rows on ``x_m`` pulled back to the maps: ``(T, d_m) -> (T, K)``.

        The mean commutes with the linear part of the first dense layer, so that the kernel of this layer is averaged
        instead. A max-pool before it does not change a sum over positions.
        """
        last, layers = self.spatial.stages[-1], saved.trunk[len(self.spatial.stages) :]
        positions = math.prod(self.in_shape[:-1])
        if isinstance(last, GlobalAverage) or not self.dense.stages:
            on_vector = self.dense.pull_back(layers, rows)
            return (last.summed(on_vector) if isinstance(last, Flatten) else on_vector) / positions
        first = self.dense.stages[0]
        if not isinstance(first, Dense) or not isinstance(last, Flatten):
            raise InputError(
                f"the first of a head's dense layers must be a Dense behind a Flatten, whose kernel is averaged over "
                f"the positions; got {type(first).__name__} behind {type(last).__name__}, so write them as these, or "
                "average the result of pull_back."
            )
        slope, *later = layers
        on_first = Chain(self.dense.stages[1:]).pull_back(tuple(later), rows)
        return matmul(on_first * slope[None], spatial_mean(first.kernel, last, self.in_shape).T)

    def jacobian(self, saved: HeadResiduals) -> dict[str, Float[Array, "out h w K"]]:
        """Return the Jacobian of each output, ``(out, h, w, K)`` (Eq. 13, 15)."""
        sizes = [len(names) for _, names in self.names]
        identities = {output: jnp.eye(len(names), dtype=self.dtype) for output, names in self.names}
        stacked = self.pull_back(saved, identities)
        splits = [sum(sizes[:i]) for i in range(1, len(sizes))]
        return dict(zip(self.outputs, jnp.split(stacked, splits), strict=True))


POOLS = (False, True, "average")
"""Poolings between the tap and ``x_0``: none, a 2 x 2 max-pool, or the mean over all positions."""


def spatial_chain(
    maps_shape: tuple[int, ...],
    *,
    pool: bool | str = False,
    flattened: str = "channels_last",
) -> Chain:
    """Return the stages from the maps to ``x_0`` for one of :data:`POOLS`: ``(h, w, K) -> (d_0,)``."""
    order: Any = check_choice("flattened", flattened, ORDERS)
    shape = cast(MapsShape, maps_shape)
    if pool == "average":
        return Chain((GlobalAverage(shape),))
    if not pool:
        return Chain((Flatten(shape, order),))
    pooling = MaxPool(shape)
    return Chain((pooling, Flatten(pooling.out_shape, order)))


def split_dense(layers: Sequence[Dense], at: int, *, before_activation: bool = False) -> tuple[Chain, Stage]:
    """Split dense layers at ``x_m``.

    Args:
        layers: all dense layers, at least one.
        at: the number of the layer whose output is ``x_m``.
        before_activation: whether ``x_m`` is ``u_m``, the input of this layer's activation.

    Returns:
        The stages from ``x_0`` to ``x_m``, and the stage from ``x_m`` to the logits.
    """
    trunk, rest = list(layers[:at]), list[Stage](layers[at:])
    if before_activation and trunk and trunk[-1].activation != "identity":
        rest.insert(0, Elementwise(trunk[-1].activation, len(trunk[-1].bias)))
        trunk[-1] = dataclasses.replace(trunk[-1], activation="identity")
    cnn = Chain(tuple(rest)) if rest else Elementwise("identity", len(layers[-1].bias))
    return Chain(tuple(trunk)), cnn


def dense_stages(layers: list[tuple[Array, Array]], activation: str) -> list[Dense]:
    """Return the dense layers from first to last for pairs (kernel, bias); the last one has no activation."""
    hidden = [Dense(kernel, bias, activation) for kernel, bias in layers[:-1]]
    return [*hidden, Dense(*layers[-1])]
