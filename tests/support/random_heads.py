"""Heads with random settings, fitted on random maps, far beyond the settings that a user would choose."""

import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC

from pcacam_jax import HybridHead, hybrid_head
from pcacam_jax.stages import ACTIVATIONS, KERNELS
from pcacam_jax.verification.cases import Draw

EXAMPLES = 60
HIDDEN = tuple(name for name in ACTIVATIONS if name not in ("log", "exp"))
"""Activations of hidden layers; the logarithm is undefined for most preactivations and the exponential overflows."""


class RandomHead(NamedTuple):
    head: HybridHead
    maps: np.ndarray
    settings: str


def random_head(seed: int) -> RandomHead:
    """Return a head with a random activation, depth, pooling, kernel, gamma (1e-3..1e3), cost and weight scale."""
    rng = np.random.default_rng(seed)
    activation, kernel = str(rng.choice(HIDDEN)), str(rng.choice(list(KERNELS)))
    gamma, cost = 10 ** rng.uniform(-3, 3), 10 ** rng.uniform(-2, 4)
    depth, classes, pool = int(rng.integers(2, 5)), int(rng.integers(2, 5)), (False, True, "average")[rng.integers(3)]
    height, width, channels = (int(rng.integers(low, 6)) for low in (2, 2, 1))
    inputs = {False: height * width * channels, True: (height // 2) * (width // 2) * channels, "average": channels}
    sizes = [inputs[pool], *rng.integers(6, 10, size=depth - 1).tolist(), classes]
    scale = 10 ** rng.uniform(-1, 1.3)
    layers = [(scale * weights, bias) for weights, bias in Draw(rng).layers(*sizes)]
    maps = np.abs(rng.normal(size=(EXAMPLES, height, width, channels))) * rng.choice([1, 1, 30])
    options = {"maps_shape": maps.shape[1:], "pool": pool, "at": depth - 1, "activation": activation}
    components = int(rng.integers(1, 7))
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        x_m = np.asarray(jax.vmap(hybrid_head(layers, **options).trunk)(jnp.asarray(maps)))
        # Saturated units are constant; without the noise, whitening would divide by zero.
        x_m = x_m + 1e-9 * rng.normal(size=x_m.shape)
        pca = PCA(min(components, sizes[-2]), whiten=bool(rng.integers(2))).fit(x_m)
        svm = SVC(kernel=kernel, gamma=gamma, C=cost, coef0=float(rng.normal()), max_iter=20_000)
        svm.fit(pca.transform(x_m), np.arange(EXAMPLES) % classes)
        head = hybrid_head(layers, pca=pca, svms={"svm": svm}, **options)
    settings = f"{activation}, {kernel}, gamma {gamma:.2g}, cost {cost:.2g}, {sizes}, scale {scale:.2g}, pool {pool}"
    return RandomHead(head, maps[0], f"seed {seed}: {settings}, {pca.n_components_} components")
