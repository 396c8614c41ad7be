"""Question: how much memory does `evidence` need for an SVM with 100,000 support vectors?

Command: python experiments/who_is_behind.py
Goal:    at most 1 GiB beside the head and the feature maps; the terms sum to the map to 1e-12 in float64.
Answer:  0.30 GiB in float32 and 0.29 GiB in float64, in 3 s and 13 s on a busy 2-core machine; 1e-14 in float64.

The RBF SVM has 45 class pairs and 100,000 random support vectors in three dimensions. The head has the paper's sizes
(7 x 7 x 512 maps, layers 40, 30, 20, 10), and 256 images are explained together. The maps of all support vectors of
these images would take 4.7 GiB in float32, and their gradients 0.3 GiB; `evidence` processes the support vectors in
blocks. Each dtype has a process of its own.
"""

import itertools
import os
import resource
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax import Affine, Chain, Dense, HybridHead, KernelExpansion, SVMClassifier, explain
from pcacam_jax.cam.evidence import evidence
from pcacam_jax.head.hybrid import spatial_chain

SUPPORT_VECTORS = 100_000
IMAGES = 256
CLASSES = 10
MAPS = (7, 7, 512)
TARGET = "svm_rbf:predicted"


def main() -> None:
    if sys.argv[1:]:
        return measure(sys.argv[1])
    for dtype in ("float32", "float64"):
        environment = {**os.environ, "JAX_ENABLE_X64": str(dtype == "float64")}
        subprocess.run([sys.executable, __file__, dtype], check=True, env=environment)
    return None


def measure(dtype: str) -> None:
    head, maps = random_head(dtype), random_maps(dtype)
    jax.block_until_ready(head)
    before = peak()
    start = time.perf_counter()
    evidence(head, maps, TARGET)
    first, after = time.perf_counter() - start, peak()
    start = time.perf_counter()
    terms = jax.block_until_ready(evidence(head, maps, TARGET).maps)
    second = time.perf_counter() - start
    print(
        f"{dtype}: {IMAGES} images, {SUPPORT_VECTORS:,} support vectors, {terms.shape[1]} returned; peak "
        f"{after - before:.2f} GiB above head and maps; first call {first:.1f} s, second call {second:.1f} s; "
        f"sum of the terms against the map: {difference(head, maps[:8]):.1e}"
    )


def difference(head: HybridHead, maps: np.ndarray) -> float:
    """Return the largest difference between the sum of all terms and the map, relative to the map's largest value."""
    direct = explain(head, maps, TARGET).signed[:, 0]
    return float(jnp.max(jnp.abs(evidence(head, maps, TARGET).signed - direct)) / jnp.max(jnp.abs(direct)))


def peak() -> float:
    """Return the peak resident memory of the process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def random_head(dtype: str) -> HybridHead:
    random = np.random.default_rng(0)

    def normal(*shape: int, scale: float = 1) -> jax.Array:
        return jnp.asarray(scale * random.normal(size=shape), dtype)

    sizes = (int(np.prod(MAPS)), 40, 30, 20, CLASSES)
    layers = [
        Dense(normal(*pair, scale=2 * pair[0] ** -0.5), jnp.zeros(pair[1], dtype), "sigmoid")
        for pair in itertools.pairwise(sizes)
    ]
    pairs = CLASSES * (CLASSES - 1) // 2
    expansion = KernelExpansion(
        normal(SUPPORT_VECTORS, 3),
        normal(pairs, SUPPORT_VECTORS),
        normal(pairs),
        {"gamma": jnp.asarray(1, dtype)},
        "rbf",
    )
    names = tuple(map(str, range(CLASSES)))
    return HybridHead(
        spatial=spatial_chain(MAPS),
        dense=Chain(tuple(layers[:2])),
        cnn=Chain(tuple(layers[2:])),
        pca=Affine(normal(3, 30), jnp.full(30, 0.5, dtype), jnp.zeros(3, dtype)),
        svms={"svm_rbf": SVMClassifier(expansion, CLASSES)},
        names=(("cnn", names), ("pca", ("0", "1", "2")), ("svm_rbf", names)),
    )


def random_maps(dtype: str) -> np.ndarray:
    return np.maximum(np.random.default_rng(1).normal(size=(IMAGES, *MAPS)), 0).astype(dtype)


if __name__ == "__main__":
    main()
