"""Small heads on maps of one shape, each with its oracle where the oracle has the same stages."""

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from support.oracle import Oracle

from pcacam_jax import HybridHead, hybrid_head

SHAPE = (4, 3, 5)
CLASSES = np.array(["wolf", "ant", "cat"])


class SmallHead(NamedTuple):
    head: HybridHead
    maps: jax.Array
    oracle: Oracle


def small_head(
    kernels: tuple[str, ...] = ("rbf", "linear"),
    *,
    activation: str = "sigmoid",
    pool: Any = False,
    classes: int = 3,
    pca: int | None = 3,
    layers: bool = True,
    widths: tuple[int, int] = (6, 5),
    bias: float = 0.5,
    scaled: bool = False,
    seed: int = 0,
    shape: tuple[int, ...] = SHAPE,
) -> SmallHead:
    """Return a fitted head in float64 on nonnegative maps; without ``layers`` the PCA reads the flattened maps."""
    rng = np.random.default_rng(seed)
    maps = np.maximum(rng.normal(size=(30, *shape)) + 0.3, 0)
    spatial = _vector_size(shape, pool)
    sizes = (spatial, *widths, classes) if layers else (spatial,)
    dense = [
        (rng.normal(size=(d, out)) * 2 / np.sqrt(d), bias * rng.normal(size=out))
        for d, out in itertools.pairwise(sizes)
    ]
    options = {"maps_shape": shape, "pool": pool, "activation": activation, "at": 2 if layers else None}
    with jax.enable_x64(True):
        trunk = jax.vmap((hybrid_head(dense, **options) if layers else _plain(rng, options)).trunk)
        x_m = np.asarray(trunk(jnp.asarray(maps)))
        reducer = None if pca is None else PCA(pca, svd_solver="full").fit(x_m)
        v = x_m if reducer is None else reducer.transform(x_m)
        svms = {kernel: _fitted(kernel, v, CLASSES[np.arange(30) % classes], scaled) for kernel in kernels}
        head = hybrid_head(dense, pca=reducer, svms=svms, **options)
        head, example = jax.tree.map(jnp.asarray, head), jnp.asarray(maps[0])
    return SmallHead(head, example, Oracle(dense, reducer, svms, 2, activation, bool(pool)))


def _plain(rng: np.random.Generator, options: dict[str, Any]) -> HybridHead:
    size = _vector_size(options["maps_shape"], options["pool"])
    return hybrid_head([], pca=PCA(1).fit(rng.normal(size=(3, size))), **options)


def _vector_size(shape: tuple[int, ...], pool: Any) -> int:
    sides = {False: shape[:-1], True: [side // 2 for side in shape[:-1]], "average": ()}[pool]
    return math.prod(sides) * shape[-1]


def _fitted(kernel: Any, v: np.ndarray, labels: np.ndarray, scaled: bool) -> Any:
    gamma: Any = 0.4
    svc = SVC(kernel=kernel, gamma=gamma, coef0=0.6)
    return (make_pipeline(StandardScaler(), svc) if scaled else svc).fit(v, labels)
