"""The hybrid head: a trunk from the maps to x_m, then the outputs "cnn", "pca" and one per classifier (Eq. 3, 5, 6)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.numerics import matmul
from pcacam_jax.core.pytree import pytree, static
from pcacam_jax.core.types import Maps, Rows, Stage, Vector
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.dense import Dense
from pcacam_jax.stages.flatten import Flatten, GlobalAverage, MaxPool, spatial_mean


class HeadByProducts(NamedTuple):
    """What the forward pass of a head leaves for its derivatives."""

    trunk: tuple
    cnn: Any
    pca: Any
    svms: dict[str, Any]


@pytree
class HybridHead:
    """Maps (h, w, K) -> {"cnn": logits (C,), "pca": components (D,), name: class scores (C,)} for one example.

    Without a PCA there is no "pca" output, and the SVMs read x_m; without dense layers there is no "cnn" output, and
    x_m is the flattened or averaged maps.
    """

    spatial: Chain
    """From the maps at the tap to x_0."""
    dense: Chain
    """Dense layers 1 .. m, from x_0 to x_m; there may be none."""
    cnn: Stage | None
    """Dense layers m + 1 .. N, from x_m to the logits."""
    pca: Stage | None
    """PCA, or another reducer."""
    svms: dict[str, Stage]
    """SVMs, other classifiers (stages with a ``predict``), regressors."""
    names: tuple[tuple[str, tuple[str, ...]], ...] = static()
    """For every output, the names of its entries: components or classes."""
    spaces: tuple[tuple[str, str], ...] = static(default=())
    """For outputs of ``svms`` that are not margins: what their scores are, such as "log_proba"."""

    @property
    def in_shape(self) -> tuple[int, ...]:
        """(h, w, K)."""
        return self.spatial.in_shape

    @property
    def trunk(self) -> Chain:
        """The stage from the maps to x_m."""
        return Chain((*self.spatial.stages, *self.dense.stages))

    @property
    def outputs(self) -> dict[str, tuple[str, ...]]:
        """Every output with the names of its entries, in order."""
        return dict(self.names)

    @property
    def svm_names(self) -> tuple[str, ...]:
        """The SVMs in order; the dictionary of SVMs has none, since JAX sorts a dictionary's keys."""
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

    def __call__(self, maps: Maps) -> dict[str, Vector]:
        """Return every output's values."""
        return self.forward(maps)[0]

    def components(self, maps: Maps) -> Vector:
        """Return what the SVMs read: v, or x_m where there is no PCA."""
        return self._components_at(self.trunk(maps))

    def predict(self, maps: Maps) -> dict[str, Int[Array, ""]]:
        """Return each classifier's class index: argmax for the CNN, the estimator's own rule for the others."""
        x_m = self.trunk(maps)
        v = self._components_at(x_m)
        own: dict[str, Any] = {name: self.svms[name] for name in self.classifiers if name in self.svms}
        predicted = {name: stage.predict(v) for name, stage in own.items()}
        return predicted if self.cnn is None else {"cnn": jnp.argmax(self.cnn(x_m)), **predicted}

    def _components_at(self, x_m: Vector) -> Vector:
        return x_m if self.pca is None else self.pca(x_m)

    def forward(self, maps: Maps) -> tuple[dict[str, Vector], HeadByProducts]:
        """Return every output's values and the by-products of every stage."""
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
        return values, HeadByProducts(trunk, cnn, pca, svms)

    def mixture(self, saved: HeadByProducts, rows: dict[str, Rows]) -> dict[str, Float[Array, "T D"]]:
        """Return rows ds/dv of every SVM in ``rows``: how much of each component's map its own map holds."""
        wanted = [name for name in self.svm_names if name in rows]
        return {name: self.svms[name].pull_back(saved.svms[name], rows[name]) for name in wanted}

    def pull_back_to_trunk(self, saved: HeadByProducts, rows: dict[str, Rows]) -> Float[Array, "T d_m"]:
        """Return rows of any outputs as rows on x_m, in the order of the head's outputs.

        ``rows`` holds (T_o, size of output o) for each output o wanted; those of the PCA and of all SVMs pass the
        PCA together.
        """
        parts = []
        if self.cnn is not None and "cnn" in rows:
            parts.append(self.cnn.pull_back(saved.cnn, rows["cnn"]))
        on_components = list(self.mixture(saved, rows).values())
        if "pca" in rows:
            on_components.insert(0, rows["pca"])
        if on_components:
            stacked = jnp.concatenate(on_components)
            parts.append(stacked if self.pca is None else self.pca.pull_back(saved.pca, stacked))
        return jnp.concatenate(parts)

    def pull_back(self, saved: HeadByProducts, rows: dict[str, Rows]) -> Float[Array, "T h w K"]:
        """Return rows of any outputs as rows on the maps, pulled through the trunk together."""
        return self.trunk.pull_back(saved.trunk, self.pull_back_to_trunk(saved, rows))

    def pull_back_pooled(self, saved: HeadByProducts, rows: dict[str, Rows]) -> Float[Array, "T K"]:
        """Return mean_ij of :meth:`pull_back`, the Grad-CAM weights a_k, without forming it (Eq. 9-10)."""
        return self.pull_trunk_back_pooled(saved, self.pull_back_to_trunk(saved, rows))

    def pull_trunk_back_pooled(self, saved: HeadByProducts, rows: Float[Array, "T d_m"]) -> Float[Array, "T K"]:
        """Return mean_ij of rows on x_m pulled back to the maps.

        The mean passes through the linear part of the first dense layer, so its kernel is averaged instead; a pooling
        before it changes no sum over positions.
        """
        last, layers = self.spatial.stages[-1], saved.trunk[len(self.spatial.stages) :]
        positions = self.in_shape[0] * self.in_shape[1]
        if isinstance(last, GlobalAverage) or not self.dense.stages:
            on_vector = self.dense.pull_back(layers, rows)
            return on_vector.reshape(len(rows), -1, self.in_shape[2]).sum(axis=1) / positions
        first = self.dense.stages[0]
        if not isinstance(first, Dense):
            raise InputError(
                f"the first of a head's dense layers must be a Dense, whose kernel is averaged over the positions; got "
                f"{type(first).__name__}, so write it as a Dense, or call pull_back and take the mean."
            )
        slope, *later = layers
        on_first = Chain(self.dense.stages[1:]).pull_back(tuple(later), rows)
        return matmul(on_first * slope[None], spatial_mean(first.kernel, last.in_shape, self.in_shape).T)

    def jacobian(self, saved: HeadByProducts) -> dict[str, Float[Array, "out h w K"]]:
        """Return the Jacobian of every output (Eq. 13, 15)."""
        sizes = [len(names) for _, names in self.names]
        identities = {output: jnp.eye(len(names), dtype=self.dtype) for output, names in self.names}
        stacked = self.pull_back(saved, identities)
        splits = [sum(sizes[:i]) for i in range(1, len(sizes))]
        return dict(zip(self.outputs, jnp.split(stacked, splits), strict=True))


POOLS = (False, True, "average")
"""What may lie between the tap and x_0: nothing, a 2 x 2 max-pool, or the mean over all positions."""


def spatial_chain(maps_shape: tuple[int, int, int], *, pool: bool | str = False) -> Chain:
    """Return the stage from maps to x_0: a flatten, alone or after a 2 x 2 max-pool, or the average of every map."""
    if pool == "average":
        return Chain((GlobalAverage(maps_shape),))
    if not pool:
        return Chain((Flatten(maps_shape),))
    pooling = MaxPool(maps_shape)
    return Chain((pooling, Flatten(pooling.out_shape)))


def dense_stages(layers: list[tuple[Array, Array]], activation: str) -> list[Dense]:
    """Return dense layers first to last, the last one without activation."""
    hidden = [Dense(kernel, bias, activation) for kernel, bias in layers[:-1]]
    return [*hidden, Dense(*layers[-1])]
