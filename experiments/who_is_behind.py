"""Claim: who is behind a decision can be told at 100,000 support vectors in the memory of a block of them.

Command: python experiments/who_is_behind.py
Target:  at most 1 GiB above the head and the maps, and the parts add up to the map to 1e-12 in float64.
Ours:    0.17 GiB in float32 and 0.28 GiB in float64, 4 s and 13 s on a busy 2-core machine; 6e-15 in float64.

An RBF machine of 45 pairs of classes over 100,000 random support vectors on three components, behind a head of the
paper's sizes (7 x 7 x 512 maps, layers 40, 30, 20, 10); 256 images at once. Formed as a whole, the maps of all support
vectors of these images would take 4.7 GiB in float32, and their gradients 0.3 GiB. Each dtype has a process of its own.
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
        return measured(sys.argv[1])
    for dtype in ("float32", "float64"):
        environment = {**os.environ, "JAX_ENABLE_X64": str(dtype == "float64")}
        subprocess.run([sys.executable, __file__, dtype], check=True, env=environment)
    return None


def measured(dtype: str) -> None:
    head, maps = random_head(dtype), random_maps(dtype)
    jax.block_until_ready(head)
    before = peak()
    start = time.perf_counter()
    evidence(head, maps, TARGET)
    first, after = time.perf_counter() - start, peak()
    start = time.perf_counter()
    found = jax.block_until_ready(evidence(head, maps, TARGET).maps)
    again = time.perf_counter() - start
    print(
        f"{dtype}: {IMAGES} images, {SUPPORT_VECTORS:,} support vectors, {found.shape[1]} kept; peak "
        f"{after - before:.2f} GiB above head and maps; {first:.1f} s the first time, {again:.1f} s after; parts "
        f"against the map itself: {difference(head, maps[:8]):.1e}"
    )


def difference(head: HybridHead, maps: np.ndarray) -> float:
    """Return the largest difference of the sum of all parts from the map, over the map's largest value."""
    own = explain(head, maps, TARGET).signed[:, 0]
    return float(jnp.max(jnp.abs(evidence(head, maps, TARGET).signed - own)) / jnp.max(jnp.abs(own)))


def peak() -> float:
    """Return the largest resident memory so far, in GiB."""
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
    machine = KernelExpansion(
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
        svms={"svm_rbf": SVMClassifier(machine, CLASSES)},
        names=(("cnn", names), ("pca", ("0", "1", "2")), ("svm_rbf", names)),
    )


def random_maps(dtype: str) -> np.ndarray:
    return np.maximum(np.random.default_rng(1).normal(size=(IMAGES, *MAPS)), 0).astype(dtype)


if __name__ == "__main__":
    main()
