"""Question: how much time does an explanation add to the computation of the features?

Command: python experiments/marginal_cost.py
         python experiments/marginal_cost.py --batch 16 --methods all
Paper:   gives no timings.
Goal:    features and explanation take at most 1.05 times as long as the features alone, for VGG16 at 224 px and a
         full-size head with 300 support vectors. Targets are three components and the predicted class of both SVMs and
         of the CNN.
Answer:  1.004 times as long, on two CPU cores.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax import HybridHead, explain
from pcacam_jax.cam.methods import METHODS
from pcacam_jax.nets import vgg16
from pcacam_jax.verification.cases import Draw

TARGETS = ["pca", "svm_linear:predicted", "svm_rbf:predicted", "cnn:predicted"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--batch", type=int, default=8, help="images explained together")
    parser.add_argument("--repeats", type=int, default=7, help="number of passes; medians are printed")
    parser.add_argument("--methods", nargs="+", default=["hirescam"], help="CAM methods, or all without images")
    arguments = parser.parse_args()

    methods = arguments.methods
    if methods == ["all"]:
        # CAM needs a global average, and the methods that change images run the backbone again.
        methods = [name for name, method in METHODS.items() if method.needs != "images" and name != "cam"]
    images, params, head = random_inputs(arguments.size, arguments.batch)
    extract = jax.jit(vgg16.features)
    print(
        f"{arguments.batch} images, {arguments.size} px, targets {', '.join(TARGETS)}; medians of {arguments.repeats}"
    )
    print("method              features  explanation  (features + explanation) / features")
    for method in methods:
        passes = [one_pass(extract, params, images, head, method) for _ in range(arguments.repeats + 1)][1:]
        features, explanation = (statistics.median(column) for column in zip(*passes, strict=True))
        ratio = statistics.median((feature_time + more) / feature_time for feature_time, more in passes)
        print(f"{method:18} {features:8.3f} s  {explanation:9.4f} s  {ratio:.4f}", flush=True)


def one_pass(extract: Callable, params: dict, images: np.ndarray, head: HybridHead, method: str) -> tuple[float, float]:
    """Return the seconds that the features and the explanation take.

    Both are measured in one pass, because the time of the features varies from pass to pass by more than the
    explanation takes.
    """
    start = time.perf_counter()
    maps = jax.block_until_ready(extract(params, images))
    middle = time.perf_counter()
    jax.block_until_ready(explain(head, maps, TARGETS, method=method).positive)
    return middle - start, time.perf_counter() - middle


def random_inputs(size: int, batch: int) -> tuple:
    """Return images, parameters of VGG16 and a full-size head; random, because the cost does not depend on values."""
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
