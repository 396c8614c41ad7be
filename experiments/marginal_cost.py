"""Claim: once the features are there, explaining them costs next to nothing.

Command: python experiments/marginal_cost.py
Paper:   gives no timings.
Goal:    features + explanation at most 1.05 x features alone, for three components, both SVMs' predicted class and the
         CNN's predicted class, VGG16 at 224 px, the full-size head with 300 support vectors.
Ours:    see README.md, "Speed".
"""

import argparse
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax import HybridHead, explain
from pcacam_jax.nets import vgg16
from pcacam_jax.verification.cases import Draw

TARGETS = ["pca", "svm_linear:predicted", "svm_rbf:predicted", "cnn:predicted"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--batch", type=int, default=8, help="images explained together")
    parser.add_argument("--repeats", type=int, default=7, help="passes, of which the median counts")
    arguments = parser.parse_args()

    images, params, head = material(arguments.size, arguments.batch)
    extract = jax.jit(vgg16.features)
    passes = [one_pass(extract, params, images, head) for _ in range(arguments.repeats + 1)][1:]
    features, explanation = (statistics.median(column) for column in zip(*passes, strict=True))
    ratio = statistics.median((own + more) / own for own, more in passes)
    print(
        f"{arguments.batch} images, {arguments.size} px, targets {', '.join(TARGETS)}; medians of {len(passes)} passes"
    )
    print(f"features                           {features:.4f} s")
    print(f"explanation                        {explanation:.4f} s")
    print(f"(features + explanation)/features  {ratio:.4f}")


def one_pass(extract: Callable, params: dict, images: np.ndarray, head: HybridHead) -> tuple[float, float]:
    """Return the seconds of the features and of the explanation that follows them, each waited for.

    Both are timed in one pass, since from pass to pass the features' time varies by more than the explanation takes.
    """
    start = time.perf_counter()
    maps = jax.block_until_ready(extract(params, images))
    middle = time.perf_counter()
    jax.block_until_ready(explain(head, maps, TARGETS).positive)
    return middle - start, time.perf_counter() - middle


def material(size: int, batch: int) -> tuple:
    """Return images, parameters of VGG16 and a full-size head; random, since no value changes the cost."""
    random = np.random.default_rng(0)
    params = {
        layer: {part: random.normal(size=shape, scale=0.02).astype(np.float32) for part, shape in parts.items()}
        for layer, parts in vgg16.param_shapes().items()
    }
    images = random.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    head = Draw(random).head(vgg16.maps_shape((size, size)), (40, 30, 20, 10), "sigmoid", support=300)
    return images, jax.device_put(params), jax.tree.map(lambda leaf: jnp.asarray(leaf, np.float32), head)


if __name__ == "__main__":
    main()
