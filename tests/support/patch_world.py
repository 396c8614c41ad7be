"""Synthetic feature maps with a known answer: the label is read from a patch at a known place, random for each example.

Every example holds a patch and, at another place, a distractor of the same size and brightness in a channel of its own,
on nonnegative noise. Two questions are asked of them:

- "channel": which of two channels holds the patch. What counts does not depend on the position.
- "side": whether the patch, in one channel, lies in the left or in the right half. What counts depends on the position.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from pcacam_jax import HybridHead, hybrid_head

SHAPE = (8, 8, 4)
SPACE = SHAPE[:2]
SIDE = 2
"""The side of a patch."""
TRAINING, TEST = 300, 32
EPOCHS = 60
SUPPORT = 40
"""RBF SVMs of fewer support vectors are padded, so that one compiled function serves their heads."""


class Patches(NamedTuple):
    """Feature maps (n, *SHAPE), labels (n,), and where the patches lie (n, *SPACE)."""

    maps: np.ndarray
    labels: np.ndarray
    masks: np.ndarray


class World(NamedTuple):
    """A head fitted on training examples, whose component 0 is higher for class 1, and other examples."""

    head: HybridHead
    test: Patches


def patches(question: str, count: int, seed: int) -> Patches:
    rng = np.random.default_rng(seed)
    maps = np.abs(0.3 * rng.normal(size=(count, *SHAPE)))
    labels, masks = np.arange(count) % 2, np.zeros((count, *SPACE), bool)
    for n, label in enumerate(labels):
        place, other = rng.integers(0, SPACE[0] - SIDE + 1, size=(2, 2))
        if question == "side":
            place[1] = rng.integers(0, 3) + 4 * label
        while np.abs(place - other).max() < SIDE:
            other = rng.integers(0, SPACE[0] - SIDE + 1, size=2)
        masks[n][_square(place)] = True
        maps[n][_square(place)][..., label if question == "channel" else 0] += 1
        maps[n][_square(other)][..., 2] += 1
    return Patches(maps.astype(np.float32), labels, masks)


def _square(corner: np.ndarray) -> tuple[slice, slice]:
    return slice(corner[0], corner[0] + SIDE), slice(corner[1], corner[1] + SIDE)


@functools.cache
def world(question: str = "channel", *, shuffled: tuple[str, ...] = ()) -> World:
    """Return a head of three dense layers, trained by scikit-learn, with a PCA and SVMs fitted on its features.

    The labels of the parts named in ``shuffled``, "network" and "svms", are shuffled before their training.
    """
    training = patches(question, TRAINING, 0)
    mixed = np.random.default_rng(2).permutation(training.labels)
    labels = {part: mixed if part in shuffled else training.labels for part in ("network", "svms")}
    options = {"maps_shape": SHAPE, "at": 2}
    dense = _trained(training.maps.reshape(TRAINING, -1), labels["network"])
    x_m = np.asarray(jax.vmap(hybrid_head(dense, **options).trunk)(jnp.asarray(training.maps)))
    pca = PCA(2, svd_solver="full").fit(x_m)
    v = pca.transform(x_m)
    pca.components_ *= np.sign(np.corrcoef(v[:, 0], labels["svms"])[0, 1])
    v = pca.transform(x_m)
    svms = {"svm_linear": SVC(kernel="linear"), "svm_rbf": SVC()}
    for svm in svms.values():
        svm.fit(v, labels["svms"])
    head = hybrid_head(dense, pca=pca, svms=svms, **options)
    return World(_padded(head), patches(question, TEST, 1))


def _trained(x: np.ndarray, labels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return dense layers with one logit per class, (-u, u) / 2 for the log-odds u of class 1."""
    network = MLPClassifier((16, 8), alpha=1e-2, learning_rate_init=5e-3, random_state=0)
    for _ in range(EPOCHS):
        network.partial_fit(x, labels, classes=np.arange(2))
    *before, (kernel, bias) = zip(network.coefs_, network.intercepts_, strict=True)
    return [*before, (np.hstack([-kernel, kernel]) / 2, np.hstack([-bias, bias]) / 2)]


def _padded(head: HybridHead) -> HybridHead:
    """Return the head with support vectors of coefficient 0 in its RBF SVM."""
    svm = head.svms["svm_rbf"]
    missing = max(0, SUPPORT - len(svm.pairs.support))
    support = jnp.pad(svm.pairs.support, ((0, missing), (0, 0)))
    coefficients = jnp.pad(svm.pairs.coefficients, ((0, 0), (0, missing)))
    pairs = dataclasses.replace(svm.pairs, support=support, coefficients=coefficients)
    return dataclasses.replace(head, svms=head.svms | {"svm_rbf": dataclasses.replace(svm, pairs=pairs)})
