"""Default verification cases: each stage, the six closed forms of Table 2, and heads, with random parameters."""

import dataclasses
import itertools
import math
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from pcacam_jax.core.types import Stage
from pcacam_jax.head.hybrid import HybridHead, dense_stages, spatial_chain
from pcacam_jax.stages import (
    ACTIVATIONS,
    KERNELS,
    NORMS,
    Affine,
    Append,
    Classifier,
    Dense,
    DiagonalQuadratic,
    Elementwise,
    Flatten,
    GlobalAverage,
    KernelExpansion,
    MaxPool,
    Normalise,
    OneVsOneExpansion,
    OvrDecision,
    PairwiseMargins,
    Power,
    Quadratic,
    Scaling,
    Softmax,
    SVMClassifier,
    Take,
)
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.parallel import Parallel

Case = tuple[str, Any, Any]
"""A name, a stage or head, and the example at which it is verified."""


def default_cases() -> Iterable[Case]:
    """Yield all stages, the six closed forms of Table 2, a small head with a max-pool, and two full-size heads."""
    draw = Draw(np.random.default_rng(0))
    yield from stage_cases(draw)
    yield from table2_cases(draw)
    pooled = draw.head((5, 6, 8), (9, 8, 7, 4), "relu", support=30, pool=True)
    yield "head before a max-pool", pooled, draw.maps(5, 6, 8)
    for activation in ("sigmoid", "relu"):
        head = draw.head((7, 7, 512), (40, 30, 20, 10), activation, support=300)
        yield f"full-size head, {activation}", head, draw.maps(7, 7, 512)


def stage_cases(draw: "Draw") -> Iterable[Case]:
    """Yield each stage separately, with each activation and each kernel."""
    for name in ACTIVATIONS:
        domain: Any = np.abs if name == "log" else np.asarray
        kernel, bias = draw.layers(8, 6)[0]
        yield f"activation {name}", Elementwise(name, 9), domain(2 * draw.normal(9))
        yield f"dense, {name}", Dense(domain(kernel), domain(bias), name), domain(draw.normal(8))
    for name in ("leaky_relu:0.2", "elu:0.5"):
        yield f"activation {name}", Elementwise(name, 9), 2 * draw.normal(9)
    yield "flatten", Flatten((3, 4, 5)), draw.maps(3, 4, 5)
    yield "flatten, channels first", Flatten((3, 4, 5), "channels_first"), draw.maps(3, 4, 5)
    yield "2 x 2 max-pool", MaxPool((5, 6, 3)), draw.maps(5, 6, 3)
    yield "global average", GlobalAverage((3, 4, 5)), draw.maps(3, 4, 5)
    yield from vector_cases(draw)
    yield "PCA", draw.pca(6, 3), draw.normal(6)
    yield "PCA with whitening", draw.pca(6, 3, whiten=True), draw.normal(6)
    yield "standard scaler", Scaling(np.exp(draw.normal(6)), draw.normal(6)), draw.normal(6)
    for kernel in KERNELS:
        yield f"SVM {kernel}, binary", draw.expansion(3, 1, 20, kernel), draw.normal(3)
        yield f"SVM {kernel}, pairs", draw.expansion(3, 6, 20, kernel), draw.normal(3)
        yield f"SVM {kernel}, margins", draw.svm(3, 4, 20, kernel), draw.normal(3)
        yield f"SVM {kernel}, one-vs-one", draw.one_vs_one(3, (5, 9, 2, 4), kernel), draw.normal(3)
        yield f"SVM {kernel}, ovr", Chain((draw.expansion(3, 6, 20, kernel), OvrDecision(4))), draw.normal(3)
    yield "class margins", PairwiseMargins(4), draw.normal(6)


def vector_cases(draw: "Draw") -> Iterable[Case]:
    """Yield stages that select, normalise, transform or score vectors, and parallel stages."""
    yield "selection", Take((4, 0, 4, 2), 6), draw.normal(6)
    yield "fixed values", Append(draw.normal(2), 4), draw.normal(4)
    for norm in NORMS:
        yield f"normalisation, {norm}", Normalise(norm, 6), draw.normal(6)
    exponents = jnp.array([-1.5, 0, 0.5, 1, 2, 3])
    yield "power, yeo-johnson", Power(jnp.tile(exponents, 2), "yeo-johnson"), np.repeat([0.7, -1.3], 6)
    yield "power, box-cox", Power(exponents, "box-cox"), np.exp(draw.normal(6))
    for log in (False, True):
        yield f"softmax{', logarithm' * log}", Softmax(6, log), draw.normal(6)
    quadratic = Quadratic(draw.normal(4, 5, 6), draw.normal(4, 6), draw.normal(4))
    yield "quadratic", quadratic, draw.normal(6)
    precisions = np.exp(draw.normal(4, 6))
    yield "quadratic, diagonal", DiagonalQuadratic(precisions, quadratic.centers, quadratic.offset), draw.normal(6)
    yield "side by side", Parallel((Chain((Normalise("l2", 6), draw.pca(6, 2))), Take((5, 1), 6))), draw.normal(6)
    yield "classifier, argmax", Classifier(quadratic), draw.normal(6)
    yield "classifier, sign", Classifier(draw.pca(6, 1), "sign"), draw.normal(6)
    logarithms = Chain((draw.pca(6, 3), Elementwise("log_sigmoid", 3)))
    yield "classifier, rounded", Classifier(logarithms, "rounded"), draw.normal(6)


def table2_cases(draw: "Draw") -> Iterable[Case]:
    """Yield the six closed forms of Table 2: PCA, linear SVM and RBF SVM targets, each for two activations."""
    for activation in ("sigmoid", "relu"):
        layers = dense_stages([*draw.layers(48, 8, 7), *draw.layers(7, 1)], activation)[:-1]
        trunk = [Flatten((4, 4, 3)), *layers, draw.pca(7, 3)]
        yield f"Table 2: PCA, {activation}", Chain(tuple(trunk)), draw.maps(4, 4, 3)
        for kernel in ("linear", "rbf"):
            chain = Chain((*trunk, draw.expansion(3, 1, 30, kernel)))
            yield f"Table 2: SVM {kernel}, {activation}", chain, draw.maps(4, 4, 3)


@dataclasses.dataclass(frozen=True)
class Draw:
    """A generator of random parameters in float64, with magnitudes like those of trained networks."""

    random: np.random.Generator

    def normal(self, *shape: int) -> Any:
        """Return standard normal numbers of shape ``shape``."""
        return self.random.normal(size=shape)

    def maps(self, *shape: int) -> Any:
        """Return nonnegative feature maps without equal entries, because a max-pool has no derivative at ties."""
        return np.abs(self.normal(*shape))

    def layers(self, *sizes: int) -> list[tuple[Any, Any]]:
        """Return ``(kernel, bias)`` of dense layers with widths ``sizes``; the first width is the input's."""
        return [(self.normal(d, out) / math.sqrt(d), 0.1 * self.normal(out)) for d, out in itertools.pairwise(sizes)]

    def pca(self, size: int, components: int, *, whiten: bool = False) -> Affine:
        """Return a PCA with orthonormal rows, which are divided by standard deviations if ``whiten``."""
        matrix: Any = np.linalg.qr(self.normal(size, size))[0][:components]
        if whiten:
            matrix = matrix / np.exp(self.normal(components))[:, None]
        return Affine(matrix, self.normal(size), jnp.zeros(components))

    def expansion(self, size: int, pairs: int, support: int, kernel: str) -> KernelExpansion:
        """Return ``pairs`` binary SVMs over ``support`` support vectors of dimension ``size``."""
        parameters = {name: jnp.asarray(3.0 if name == "degree" else 0.5) for name in KERNELS[kernel].parameters}
        coefficients = self.normal(pairs, support)
        return KernelExpansion(self.normal(support, size), coefficients, self.normal(pairs), parameters, kernel)

    def one_vs_one(self, size: int, counts: tuple[int, ...], kernel: str) -> OneVsOneExpansion:
        """Return SVMs of all pairs of classes, with ``counts`` support vectors of each class."""
        classes, number = len(counts), sum(counts)
        one = self.expansion(size, classes * (classes - 1) // 2, number, kernel)
        dual = self.normal(classes - 1, number)
        return OneVsOneExpansion(one.support, dual, one.intercept, one.parameters, counts, kernel)

    def svm(self, size: int, classes: int, support: int, kernel: str) -> SVMClassifier:
        """Return a multiclass SVM, made of one binary SVM per class pair."""
        pairs = classes * (classes - 1) // 2
        return SVMClassifier(self.expansion(size, pairs, support, kernel), classes)

    def head(
        self,
        maps_shape: tuple[int, int, int],
        sizes: tuple[int, ...],
        activation: str,
        *,
        support: int,
        pool: bool = False,
    ) -> HybridHead:
        """Return a head with dense layers, a PCA of three components at layer 2, and a linear and an RBF SVM."""
        spatial = spatial_chain(maps_shape, pool=pool)
        stages = dense_stages(self.layers(math.prod(spatial.stages[-1].in_shape), *sizes), activation)
        classes = tuple(map(str, range(sizes[-1])))
        svms: dict[str, Stage] = {
            f"svm_{kernel}": self.svm(3, sizes[-1], support, kernel) for kernel in ("linear", "rbf")
        }
        return HybridHead(
            spatial=spatial,
            dense=Chain(tuple(stages[:2])),
            cnn=Chain(tuple(stages[2:])),
            pca=self.pca(sizes[1], 3),
            svms=svms,
            names=(("cnn", classes), ("pca", ("0", "1", "2")), *((name, classes) for name in svms)),
        )
