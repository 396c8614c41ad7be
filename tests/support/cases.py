"""Cases for the tests of stages: those of the certificate, difficult points, and one small fitted network."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import expit
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from pcacam_jax import (
    Affine,
    Chain,
    Classifier,
    Dense,
    Elementwise,
    Flatten,
    GlobalAverage,
    HybridHead,
    KernelExpansion,
    MaxPool,
    Normalise,
    OneVsOneExpansion,
    OvrDecision,
    PairwiseMargins,
    Parallel,
    Power,
    Scaling,
    Softmax,
    SVMClassifier,
    Take,
    from_sklearn,
    hybrid_head,
)
from pcacam_jax.verification.cases import Draw, stage_cases

BACKENDS = ("closed_form", "reverse", "forward", "finite_difference")
PARAMETERS = {
    "linear": {},
    "rbf": {"gamma": 0.4},
    "poly": {"gamma": 0.4, "coef0": 0.5, "degree": 3.0},
    "sigmoid": {"gamma": 0.4, "coef0": -0.3},
}
KINKED = ("relu", "leaky_relu", "elu", "selu", "relu6", "hard_sigmoid", "hard_swish")
"""Activations with a kink at one or two of -3, 0, 3 and 6."""
KINKS = (
    *(f"{name} at its kinks" for name in KINKED),
    "max-pool, ties",
    "normalise, l1, with a zero",
    "normalise, max, ties",
    "normalise, l2, zeros",
)
"""Cases at points where the function has no derivative, so that central differences do not apply."""


def build() -> Iterator[tuple[str, Any, np.ndarray]]:
    """Yield (name, stage, point): the cases of the certificate, then the difficult points."""
    rng = np.random.default_rng(7)
    yield from stage_cases(Draw(rng))
    yield from hard_points(rng)


def hard_points(rng: np.random.Generator) -> Iterator[tuple[str, Any, np.ndarray]]:
    """Yield stages at kinks, at the limits of their parameters, and nested in one another."""
    normal = lambda *shape: rng.normal(size=shape)  # noqa: E731
    for name in KINKED:
        yield f"{name} at its kinks", Elementwise(name, 6), np.array([-3.0, 0.0, -0.0, 3.0, 6.0, 1.5])
    yield "max-pool, odd", MaxPool((5, 3, 2)), normal(5, 3, 2)
    yield "max-pool, ties", MaxPool((4, 5, 3)), rng.integers(0, 2, (4, 5, 3)).astype(float)
    yield "normalise, l1, with a zero", Normalise("l1", 3), np.array([-1.0, 0.0, 3.0])
    yield "normalise, max, ties", Normalise("max", 4), np.array([1.0, -2.0, 2.0, 0.5])
    yield "normalise, l2, zeros", Normalise("l2", 3), np.zeros(3)
    powers = np.array([-1.5, 0, 0.4, 1, 2, 3.1, 1e-4, 2 - 1e-4])
    yield "power, yeo-johnson, at 0", Power(powers, "yeo-johnson"), np.zeros(8)
    yield "power, yeo-johnson, below 0", Power(powers, "yeo-johnson"), -abs(normal(8))
    yield "power, box-cox, near its limits", Power(powers, "box-cox"), abs(normal(8))
    yield "softmax of one", Softmax(1), normal(1)
    yield "margins, 2 classes", PairwiseMargins(2), normal(1)
    yield "ovr", OvrDecision(4), normal(6)
    for degree in (0, 1, 2, 2.5):
        yield f"poly, degree {degree}", expansion(lambda *shape: abs(normal(*shape)), 2, "poly", degree), abs(normal(3))
    yield from compositions(normal)


def compositions(normal: Callable[..., Any]) -> Iterator[tuple[str, Any, np.ndarray]]:
    """Yield stages composed of several stages."""
    binary = Chain((Scaling(normal(3), normal(3)), expansion(normal, 1, "rbf")))
    yield "classifier of two", SVMClassifier(binary, 2), normal(3)
    for name, counts in (("even", (3, 3, 3)), ("uneven", (1, 6, 1, 1))):
        classes = len(counts)
        pairs, dual = expansion(normal, classes * (classes - 1) // 2, "rbf"), normal(classes - 1, 9)
        every = OneVsOneExpansion(pairs.support, dual, pairs.intercept, pairs.parameters, counts, "rbf")
        yield f"one-vs-one, {name}", every, normal(3)
        yield (
            f"classifier of {classes}, {name}",
            SVMClassifier(Chain((Scaling(normal(3), normal(3)), every)), classes),
            normal(3),
        )
        yield f"ovr, {name}", Chain((every, OvrDecision(classes))), normal(3)
    collapsed = KernelExpansion(normal(6, 3), None, normal(6), {}, "linear")
    yield "linear, summed", collapsed, normal(3)
    yield "classifier of summed vectors", SVMClassifier(collapsed, 4), normal(3)
    yield "classifier of one score", Classifier(binary, "sign"), normal(3)
    voter = SVMClassifier(expansion(normal, 3, "sigmoid"), 3)
    yield "classifier with a voter", Classifier(Chain((voter.pairs, OvrDecision(3))), voter=voter), normal(3)
    # Small weights keep the sigmoid out of saturation, where reverse mode is inaccurate in float32.
    layers = (Dense(normal(8, 6), normal(6), "gelu"), Dense(normal(6, 4) / 3, normal(4), "sigmoid"))
    yield "trunk", Chain((MaxPool((5, 4, 2)), Flatten((2, 2, 2)), *layers)), normal(5, 4, 2)
    pair = Parallel((Chain((Normalise("l2", 4), Take((3, 1), 4))), Affine(0.3 * normal(3, 4), normal(4), normal(3))))
    yield (
        "parallel, nested",
        Chain((Scaling(normal(4), normal(4)), Parallel((pair, Softmax(4))), Softmax(9))),
        normal(4),
    )
    maps = Parallel((GlobalAverage((2, 3, 4)), Chain((Flatten((2, 3, 4)), Take((23, 0), 24)))))
    yield "parallel, of maps", maps, normal(2, 3, 4)
    x, labels = normal(40, 5), np.arange(40) % 3
    for estimator in (PCA(3, whiten=True), make_pipeline(StandardScaler(), PCA(2), SVC())):
        with jax.enable_x64(True):
            stage = from_sklearn(estimator.fit(x, labels))
        yield f"scikit-learn, {type(estimator).__name__}", stage, x[0]


def expansion(draw: Callable[..., Any], pairs: int, kernel: str, degree: float = 3) -> KernelExpansion:
    """Return ``pairs`` binary SVMs over nine support vectors in three dimensions."""
    parameters = {name: np.float64(value) for name, value in PARAMETERS[kernel].items()}
    parameters |= {"degree": np.float64(degree)} if "degree" in parameters else {}
    return KernelExpansion(draw(9, 3), draw(pairs, 9), draw(pairs), parameters, kernel)


@functools.cache
def _table() -> dict[str, tuple[Any, np.ndarray]]:
    return {name: (stage, x) for name, stage, x in build()}


NAMES = tuple(_table())


def case(name: str, dtype: str) -> tuple[Any, jax.Array]:
    """Return a stage and its point in ``dtype``; both are first rounded to float32."""
    rounded = jax.tree.map(np.float32, _table()[name])
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), rounded)


class Network(NamedTuple):
    """The raw parts of a head, fitted on random maps, and a batch of maps."""

    dense: list[tuple[np.ndarray, np.ndarray]]
    pca: PCA | None
    svms: dict[str, Any]
    maps: np.ndarray
    options: dict[str, Any]

    @property
    def head(self) -> HybridHead:
        return hybrid_head(self.dense, pca=self.pca, svms=self.svms, **self.options)

    @property
    def components(self) -> np.ndarray:
        """The inputs of the SVMs for the batch."""
        x_m = trunk(self.dense[: self.options["at"]], self.maps)
        return x_m if self.pca is None else self.pca.transform(x_m)


def trunk(layers: list[tuple[np.ndarray, np.ndarray]], maps: np.ndarray) -> np.ndarray:
    x = maps.reshape(len(maps), -1)
    for kernel, bias in layers:
        x = expit(x @ kernel + bias)
    return x


@functools.cache
def network(classes: tuple = ("wolf", "ant", "cat", "owl"), *, pca: int | None = 3, seed: int = 0) -> Network:
    """Return a sigmoid network on (3, 4, 5) maps with a PCA at layer 2 and two SVMs, the later name first."""
    rng = np.random.default_rng(seed)
    sizes = (60, 8, 7, 6, len(classes))
    dense = [(rng.normal(size=(d, out)) * 2 / np.sqrt(d), rng.normal(size=out)) for d, out in itertools.pairwise(sizes)]
    centers = rng.normal(size=(len(classes), 3, 4, 5))
    label = np.arange(80) % len(classes)
    maps = np.maximum(centers[label] + rng.normal(size=(80, 3, 4, 5)), 0)
    kernel = dense[-1][0]
    # The bias centers the scores, so that each class is predicted for some maps.
    dense[-1] = kernel, -(trunk(dense[:-1], maps) @ kernel).mean(axis=0)
    features = trunk(dense[:2], maps)
    reducer = None if pca is None else PCA(pca, svd_solver="full").fit(features)
    features = features if reducer is None else reducer.transform(features)
    labels = np.array(classes)[label]
    svms = {
        "svm_rbf": SVC(gamma=0.7).fit(features, labels),
        "svm_linear": make_pipeline(StandardScaler(), SVC(kernel="linear")).fit(features, labels),
    }
    options = {"maps_shape": (3, 4, 5), "at": 2, "activation": "sigmoid"}
    return Network(dense, reducer, svms, maps[:7], options)
