"""The certificate: closed forms against reverse mode, forward mode and central differences, as data.

One row compares one map with one witness in one dtype. Parameters and point are first rounded to float32, so that both
dtypes speak of the same map; central differences are always taken in float64, since in float32 they say little.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pcacam_jax.chain import Chain
from pcacam_jax.checks import check_choice, check_finite, check_shape
from pcacam_jax.head import HybridHead, dense_stages, spatial_chain
from pcacam_jax.jacobian import jacobian
from pcacam_jax.numerics import DIFFERENCE_TOLERANCES, TOLERANCES, difference_noise, relative_error
from pcacam_jax.stages import (
    ACTIVATIONS,
    KERNELS,
    Affine,
    Dense,
    Elementwise,
    Flatten,
    KernelExpansion,
    MaxPool,
    OvrDecision,
    PairwiseMargins,
    Scaling,
    SVMClassifier,
)
from pcacam_jax.types import Stage

Case = tuple[str, Any, Any]
"""A name, a stage or head, and the point at which it is verified."""

DIFFERENCES = "finite_difference"
WITNESSES = ("reverse", "forward", DIFFERENCES)
DTYPES = ("float32", "float64")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One row of the certificate."""

    name: str
    dtype: str
    witness: str
    error: float
    """Norm-wise relative difference of the Jacobians, ||closed - witness|| / ||witness||."""
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; NaN is not."""
        return self.error <= self.tolerance


@dataclasses.dataclass(frozen=True)
class Certificate:
    """All comparisons of one run of the verification."""

    comparisons: tuple[Comparison, ...]

    @property
    def passed(self) -> bool:
        """Whether there are comparisons and every one is within its tolerance."""
        return bool(self.comparisons) and all(row.passed for row in self.comparisons)

    def max_relative_error(self, dtype: str) -> float:
        """Return the largest error against autodiff (reverse and forward) in ``dtype``."""
        rows = [row.error for row in self.comparisons if row.dtype == dtype and row.witness != DIFFERENCES]
        return float(np.max(rows)) if rows else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        dtypes = sorted({row.dtype for row in self.comparisons})
        return {
            "passed": self.passed,
            **{dtype: {"max_relative_error": _plain(self.max_relative_error(dtype))} for dtype in dtypes},
            "comparisons": [
                dataclasses.asdict(row)
                | {"error": _plain(row.error), "tolerance": _plain(row.tolerance), "passed": row.passed}
                for row in self.comparisons
            ],
        }


def _plain(number: float) -> float | None:
    """JSON has neither NaN nor infinity."""
    return number if math.isfinite(number) else None


def verify(
    stage: Any, x: Array, *, name: str = "stage", dtypes: Iterable[str] = DTYPES, witnesses: Iterable[str] = WITNESSES
) -> Certificate:
    """Compare the closed-form Jacobian of a stage or head at ``x`` with autodiff and central differences.

    Runs in both dtypes whatever JAX is set to; a head gives one row per output, dtype and witness. A head that begins
    with a max-pool is verified beside ``x``, where no window has two maxima: at ties a maximum has no derivative.

    Raises:
        InputError: an unknown dtype or witness, or a point of another shape or that is not finite.
        TypeError: not a stage.
    """
    if isinstance(stage, type) or not isinstance(stage, Stage):
        raise TypeError(f"expected a stage or a head to verify; got {stage!r}.")
    for values, choices in ((dtypes, DTYPES), (witnesses, WITNESSES)):
        for value in values:
            check_choice("dtypes and witnesses", value, choices)
    check_shape("x", np.shape(x), stage.in_shape)
    check_finite("x", x)
    with jax.enable_x64(True):
        stage, x = jax.tree.map(lambda leaf: jnp.asarray(leaf, "float32"), (stage, jnp.asarray(x)))
        if isinstance(stage, HybridHead):
            x = off_ties(stage, x)
        return Certificate(tuple(_compare(stage, x, name, tuple(dtypes), tuple(witnesses))))


def off_ties(head: HybridHead, maps: Array) -> Array:
    """Return maps whose every pooled window has one maximum, raised by a thousandth of the largest value."""
    first = head.spatial.stages[0]
    if not isinstance(first, MaxPool):
        return maps
    _, winner = first.forward(maps)
    routed = first.pull_back(winner, jnp.ones((1, *first.out_shape), maps.dtype))[0]
    return maps + 1e-3 * jnp.maximum(1, jnp.max(jnp.abs(maps))) * routed


def certify(
    cases: Iterable[Case] | None = None,
    *,
    dtypes: Iterable[str] = DTYPES,
    progress: Callable[[str], None] = lambda name: None,
) -> Certificate:
    """Verify every (name, stage, point) of ``cases``; by default all stages, the six closed forms and the full head."""
    rows: list[Comparison] = []
    for name, stage, x in cases if cases is not None else default_cases():
        progress(name)
        rows.extend(verify(stage, x, name=name, dtypes=dtypes).comparisons)
    return Certificate(tuple(rows))


def _compare(
    stage: Any, x: Array, name: str, dtypes: tuple[str, ...], witnesses: tuple[str, ...]
) -> Iterator[Comparison]:
    jacobians = {}
    values = by_output(_cast(stage, "float64")(jnp.asarray(x, "float64")))
    noises = {output: difference_noise(value, jnp.asarray(x, "float64")) for output, value in values.items()}

    def jacobian_of(backend: str, dtype: str) -> dict[str, Array]:
        dtype = "float64" if backend == DIFFERENCES else dtype
        if (backend, dtype) not in jacobians:
            jacobians[backend, dtype] = _jacobian(_cast(stage, dtype), jnp.asarray(x, dtype), backend)
        return jacobians[backend, dtype]

    for dtype, witness in itertools.product(dtypes, witnesses):
        for output, closed in jacobian_of("closed_form", dtype).items():
            reference = jacobian_of(witness, dtype)[output]
            error, tolerance = relative_error(closed, reference), TOLERANCES[dtype]
            if witness == DIFFERENCES:
                # Where a Jacobian nearly vanishes beside its function, rounding is most of a difference.
                scale = max(float(jnp.linalg.norm(reference)), np.finfo(np.float64).tiny)
                tolerance = DIFFERENCE_TOLERANCES[dtype] + noises[output] / scale
            yield Comparison(f"{name}: {output}" if output else name, dtype, witness, error, tolerance)


def _jacobian(stage: Any, x: Array, backend: str) -> dict[str, Array]:
    return by_output(jax.jit(lambda stage, x: jacobian(stage, x, backend=backend))(stage, x))


def by_output(value: Any) -> dict[str, Array]:
    """Return what belongs to each output of a head; a stage has one, under the empty name."""
    return value if isinstance(value, dict) else {"": value}


def _cast(stage: Any, dtype: str) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), stage)


def default_cases() -> Iterable[Case]:
    """Yield every stage, the six closed forms of Table 2, a small pooled head, and the full-size head twice."""
    draw = Draw(np.random.default_rng(0))
    yield from stage_cases(draw)
    yield from table2_cases(draw)
    pooled = draw.head((5, 6, 8), (9, 8, 7, 4), "relu", support=30, pool=True)
    yield "head before a max-pool", pooled, draw.maps(5, 6, 8)
    for activation in ("sigmoid", "relu"):
        head = draw.head((7, 7, 512), (40, 30, 20, 10), activation, support=300)
        yield f"full-size head, {activation}", head, draw.maps(7, 7, 512)


def stage_cases(draw: "Draw") -> Iterable[Case]:
    """Yield every stage on its own, with every activation and every kernel."""
    for name in ACTIVATIONS:
        yield f"activation {name}", Elementwise(name, 9), 2 * draw.normal(9)
        yield f"dense, {name}", Dense(*draw.layers(8, 6)[0], name), draw.normal(8)
    yield "flatten", Flatten((3, 4, 5)), draw.maps(3, 4, 5)
    yield "2 x 2 max-pool", MaxPool((5, 6, 3)), draw.maps(5, 6, 3)
    yield "PCA", draw.pca(6, 3), draw.normal(6)
    yield "PCA with whitening", draw.pca(6, 3, whiten=True), draw.normal(6)
    yield "standard scaler", Scaling(np.exp(draw.normal(6)), draw.normal(6)), draw.normal(6)
    for kernel in KERNELS:
        yield f"SVM {kernel}, binary", draw.expansion(3, 1, 20, kernel), draw.normal(3)
        yield f"SVM {kernel}, pairs", draw.expansion(3, 6, 20, kernel), draw.normal(3)
        yield f"SVM {kernel}, margins", draw.svm(3, 4, 20, kernel), draw.normal(3)
        yield f"SVM {kernel}, ovr", Chain((draw.expansion(3, 6, 20, kernel), OvrDecision(4))), draw.normal(3)
    yield "class margins", PairwiseMargins(4), draw.normal(6)


def table2_cases(draw: "Draw") -> Iterable[Case]:
    """Yield the six closed forms of Table 2: PCA-Grad-CAM for two activations, SVM-Grad-CAM for two kernels each."""
    for activation in ("sigmoid", "relu"):
        layers = dense_stages([*draw.layers(48, 8, 7), *draw.layers(7, 1)], activation)[:-1]
        trunk = [Flatten((4, 4, 3)), *layers, draw.pca(7, 3)]
        yield f"Table 2: PCA, {activation}", Chain(tuple(trunk)), draw.maps(4, 4, 3)
        for kernel in ("linear", "rbf"):
            chain = Chain((*trunk, draw.expansion(3, 1, 30, kernel)))
            yield f"Table 2: SVM {kernel}, {activation}", chain, draw.maps(4, 4, 3)


@dataclasses.dataclass(frozen=True)
class Draw:
    """Random parameters of the size that trained networks have, in float64."""

    random: np.random.Generator

    def normal(self, *shape: int) -> Any:
        """Return standard normal numbers."""
        return self.random.normal(size=shape)

    def maps(self, *shape: int) -> Any:
        """Return feature maps as a ReLU leaves them, but without exact ties, where a max-pool has no derivative."""
        return np.abs(self.normal(*shape))

    def layers(self, *sizes: int) -> list[tuple[Any, Any]]:
        """Return (kernel, bias) of dense layers from the first size to the last."""
        return [(self.normal(d, out) / math.sqrt(d), 0.1 * self.normal(out)) for d, out in itertools.pairwise(sizes)]

    def pca(self, size: int, components: int, *, whiten: bool = False) -> Affine:
        """Return a PCA: orthonormal rows, divided by standard deviations if ``whiten``."""
        matrix: Any = np.linalg.qr(self.normal(size, size))[0][:components]
        if whiten:
            matrix = matrix / np.exp(self.normal(components))[:, None]
        return Affine(matrix, self.normal(size), jnp.zeros(components))

    def expansion(self, size: int, pairs: int, support: int, kernel: str) -> KernelExpansion:
        """Return ``pairs`` machines over ``support`` support vectors."""
        parameters = {name: jnp.asarray(0.5) for name in KERNELS[kernel].parameters}
        coefficients = self.normal(pairs, support)
        return KernelExpansion(self.normal(support, size), coefficients, self.normal(pairs), parameters, kernel)

    def svm(self, size: int, classes: int, support: int, kernel: str) -> SVMClassifier:
        """Return a classifier of pairs."""
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
        """Return a head of dense layers with a PCA of three components and both SVMs on layer 2."""
        spatial = spatial_chain(maps_shape, pool=pool)
        stages = dense_stages(self.layers(math.prod(spatial.stages[-1].in_shape), *sizes), activation)
        classes = tuple(map(str, range(sizes[-1])))
        svms = {f"svm_{kernel}": self.svm(3, sizes[-1], support, kernel) for kernel in ("linear", "rbf")}
        return HybridHead(
            spatial=spatial,
            dense=Chain(tuple(stages[:2])),
            cnn=Chain(tuple(stages[2:])),
            pca=self.pca(sizes[1], 3),
            svms=svms,
            names=(("cnn", classes), ("pca", ("0", "1", "2")), *((name, classes) for name in svms)),
        )
