"""The hybrid head: a trunk from the maps to x_m, then the outputs "cnn", "pca" and one per SVM (Eq. 3, 5, 6)."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pcacam_jax.chain import Chain
from pcacam_jax.numerics import matmul
from pcacam_jax.pytree import pytree, static
from pcacam_jax.stages.dense import Dense
from pcacam_jax.stages.flatten import Flatten, MaxPool, spatial_mean
from pcacam_jax.stages.svm import SVMClassifier
from pcacam_jax.types import Maps, Rows, Stage, Vector


class HeadByProducts(NamedTuple):
    """What the forward pass of a head leaves for its derivatives."""

    trunk: tuple
    cnn: Any
    pca: Any
    svms: dict[str, Any]


@pytree
class HybridHead:
    """Maps (h, w, K) -> {"cnn": logits (C,), "pca": components (D,), name: class margins (C,)} for one example.

    Without a PCA there is no "pca" output, and the SVMs read x_m.
    """

    spatial: Chain
    """From the maps at the tap to x_0."""
    dense: Chain
    """Dense layers 1 .. m, from x_0 to x_m."""
    cnn: Stage
    """Dense layers m + 1 .. N, from x_m to the logits."""
    pca: Stage | None
    svms: dict[str, SVMClassifier]
    names: tuple[tuple[str, tuple[str, ...]], ...] = static()
    """For every output, the names of its entries: components or classes."""

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
    def dtype(self) -> jnp.dtype:
        """The dtype in which the head computes."""
        return self.first.kernel.dtype

    @property
    def first(self) -> Dense:
        """Dense layer 1, which reads the flattened maps."""
        layer = self.dense.stages[0]
        assert isinstance(layer, Dense)
        return layer

    def __call__(self, maps: Maps) -> dict[str, Vector]:
        """Return every output's values."""
        return self.forward(maps)[0]

    def components(self, maps: Maps) -> Vector:
        """Return what the SVMs read: v, or x_m where there is no PCA."""
        return self._components_at(self.trunk(maps))

    def predict(self, maps: Maps) -> dict[str, Int[Array, ""]]:
        """Return each classifier's class index: argmax for the CNN, the estimator's own rule for an SVM."""
        x_m = self.trunk(maps)
        v = self._components_at(x_m)
        return {"cnn": jnp.argmax(self.cnn(x_m)), **{name: self.svms[name].predict(v) for name in self.svm_names}}

    def _components_at(self, x_m: Vector) -> Vector:
        return x_m if self.pca is None else self.pca(x_m)

    def forward(self, maps: Maps) -> tuple[dict[str, Vector], HeadByProducts]:
        """Return every output's values and the by-products of every stage."""
        x_m, trunk = self.trunk.forward(maps)
        logits, cnn = self.cnn.forward(x_m)
        values = {"cnn": logits}
        v, pca = x_m, None
        if self.pca is not None:
            v, pca = self.pca.forward(x_m)
            values["pca"] = v
        svms = {}
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
        if "cnn" in rows:
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
        """Return mean_ij of :meth:`pull_back`, the Grad-CAM weights a_k, without forming it (Eq. 9-10).

        The mean passes through the linear part of the first dense layer, so its kernel is averaged instead.
        """
        slope, *later = saved.trunk[len(self.spatial.stages) :]
        on_trunk = self.pull_back_to_trunk(saved, rows)
        on_first = Chain(self.dense.stages[1:]).pull_back(tuple(later), on_trunk)
        kernel = spatial_mean(self.first.kernel, self.spatial.stages[-1].in_shape, self.in_shape)
        return matmul(on_first * slope[None], kernel.T)

    def jacobian(self, saved: HeadByProducts) -> dict[str, Float[Array, "out h w K"]]:
        """Return the Jacobian of every output (Eq. 13, 15)."""
        sizes = [len(names) for _, names in self.names]
        identities = {output: jnp.eye(len(names), dtype=self.dtype) for output, names in self.names}
        stacked = self.pull_back(saved, identities)
        splits = [sum(sizes[:i]) for i in range(1, len(sizes))]
        return dict(zip(self.outputs, jnp.split(stacked, splits), strict=True))


def spatial_chain(maps_shape: tuple[int, int, int], *, pool: bool) -> Chain:
    """Return the stage from maps to x_0: a flatten, with a 2 x 2 max-pool before it if ``pool``."""
    if not pool:
        return Chain((Flatten(maps_shape),))
    pooling = MaxPool(maps_shape)
    return Chain((pooling, Flatten(pooling.out_shape)))


def dense_stages(layers: list[tuple[Array, Array]], activation: str) -> list[Dense]:
    """Return dense layers first to last, the last one without activation."""
    hidden = [Dense(kernel, bias, activation) for kernel, bias in layers[:-1]]
    return [*hidden, Dense(*layers[-1])]
