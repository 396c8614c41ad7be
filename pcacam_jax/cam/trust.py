"""Whether a heatmap can be trusted: what speaks for it and against it, in numbers and in one line of plain words."""

import dataclasses
import functools
from typing import Any, Protocol

import numpy as np
from jaxtyping import Array, Float

from pcacam_jax.cam.distance import FeatureStatistics
from pcacam_jax.cam.methods import cam_method
from pcacam_jax.cam.trust_numbers import Numbers, trust_batch
from pcacam_jax.cam.trust_words import summary
from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.explanation import Explanation
from pcacam_jax.head.batches import batched_beside, check_not_traced, checked_maps
from pcacam_jax.head.hybrid import HybridHead

BATCH = 16


class TrainingReference(Protocol):
    """What is known of the training examples; the ``reference`` of a run has these fields."""

    @property
    def components(self) -> Any:
        """``(N, D)``, the components."""

    @property
    def support(self) -> Any:
        """For every SVM, the rows of its support vectors."""

    @property
    def nearest_support(self) -> Any:
        """For every SVM, ``(N,)``, the distance to the nearest other support vector."""

    @property
    def reconstruction(self) -> Any:
        """``(N,)``, the reconstruction errors; None if they are not known."""

    @property
    def features(self) -> Any:
        """The fields of :class:`pcacam_jax.cam.distance.FeatureStatistics`; None if they are not known."""


@dataclasses.dataclass(frozen=True)
class Trust:
    """What speaks for and against each map of an explanation; B examples, T targets."""

    targets: tuple[str, ...]
    """The names of the targets."""
    method: str
    """The CAM method."""
    vanished: np.ndarray
    """``(B, T)``, whether the map has no meaning, see :class:`Explanation`."""
    completeness: Float[np.ndarray, "B T"] | None
    """``(B, T)``, the sum of the map over ``y(F) - y(0)``, 1 if it accounts for the whole value. For "liftcam",
    "ablationcam" and "shapcam" it is the sum of the weights, or of the values of the positions. None for others."""
    stability: Float[np.ndarray, "B T"]
    """``(B, T)``, the mean correlation with the maps of the same method at feature maps with 10 % noise; NaN for
    methods that change images and for constant maps."""
    agreement: Float[np.ndarray, "B T"]
    """``(B, T)``, the mean correlation with the maps of the others of "gradcam", "xgradcam" and "hirescam"."""
    drop: Float[np.ndarray, "B T"]
    """``(B, T)``, what the value loses without the 5, 10 and 20 % most positive cells, in the unit of the value."""
    drop_random: Float[np.ndarray, "B T"]
    """``(B, T)``, the same for random maps, the mean of 20."""
    drop_centre: Float[np.ndarray, "B T"]
    """``(B, T)``, the same for a Gaussian at the centre."""
    above_random: Float[np.ndarray, "B T"]
    """``(B, T)``, the share of random maps with a smaller drop."""
    rise: Float[np.ndarray, "B T"]
    """``(B, T)``, what the value gains without the most negative cells."""
    reconstruction_percentile: Float[np.ndarray, " B"] | None
    """``(B,)``, the percentage of training examples with a smaller error of the PCA's reconstruction of ``x_m``; None
    without a reference."""
    support_percentile: dict[str, Float[np.ndarray, " B"]] | None
    """For every SVM, ``(B,)``, the percentage of training examples that are closer to their nearest support vector."""
    feature_percentile: Float[np.ndarray, " B"] | None = None
    """``(B,)``, the percentage of training examples whose features, the means of the maps over positions, are closer to
    their mean, in standard deviations."""
    evidence: bool = True
    """Whether the signs of the method's maps are evidence for and against."""

    __repr__ = brief_repr

    def sentences(self) -> list[list[str]]:
        """Return one line of plain words for each of the T maps of each of the B examples."""
        return [[summary(self, b, t) for t in range(len(self.targets))] for b in range(len(self.vanished))]


def trust(
    explanation: Explanation,
    head: HybridHead,
    maps: Float[Array, "B *space K"] | np.ndarray,
    reference: TrainingReference | None = None,
) -> Trust:
    """Return what speaks for and against the maps of an explanation.

    The perturbations are made at the tap and pass through the head only, so no backbone is needed.

    Args:
        explanation: the result of :func:`pcacam_jax.explain`.
        head: the head that it explains.
        maps: ``(B, *space, K)``, the feature maps that it explains.
        reference: the training examples of the PCA and the SVMs, such as ``run.reference``; without them, it is not
            said how far the examples lie from the training examples.

    Returns:
        The numbers, and :meth:`Trust.sentences`.

    Raises:
        InputError: the explanation is not one of this head and these maps.
        TypeError: ``explanation`` is not an explanation, or ``head`` is not a head.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import explain, hybrid_head
        >>> from pcacam_jax.cam.trust import trust
        >>> rng = np.random.default_rng(0)
        >>> head = hybrid_head([(rng.normal(size=(48, 2)), np.zeros(2))], maps_shape=(4, 4, 3))
        >>> maps = np.abs(rng.normal(size=(1, 4, 4, 3)))
        >>> trusted = trust(explain(head, maps, "cnn:0", method="hirescam"), head, maps)
        >>> round(float(trusted.completeness[0, 0]), 3), float(trusted.above_random[0, 0])
        (1.0, 1.0)
    """
    if not isinstance(explanation, Explanation):
        raise TypeError(f"explanation must be an Explanation; got {type(explanation).__name__}.")
    if not isinstance(head, HybridHead):
        raise TypeError(f"head must be a HybridHead, from pcacam_jax.hybrid_head; got {type(head).__name__}.")
    fields = ("components", "support", "nearest_support", "reconstruction", "features")
    if reference is not None and not all(hasattr(reference, field) for field in fields):
        raise TypeError(
            f"reference must be that of a run, with {', '.join(fields)}, or None; got {type(reference).__name__}."
        )
    check_not_traced("trust", head, maps)
    maps = checked_maps(head, maps)
    method = cam_method(explanation.method, **dict(explanation.options))
    signed = np.asarray(explanation.signed)
    if len(maps) != len(signed) or signed.shape[2:] != maps.shape[1:-1]:
        raise InputError(
            f"explanation must be one of these maps, of shape {maps.shape}; got heatmaps of shape {signed.shape}."
        )
    outputs = tuple(target.partition(":")[0] for target in explanation.targets)
    if not set(outputs) <= set(head.outputs):
        raise InputError(f"explanation must be one of this head, which has {', '.join(head.outputs)}; got {outputs}.")
    beside = {"columns": np.asarray(explanation.columns), "signed": signed.astype(head.dtype)}
    compiled = functools.partial(trust_batch, head, outputs=outputs, method=method, backend=explanation.backend)
    numbers: Numbers = batched_beside(compiled, maps, beside, BATCH, head.dtype, name="trust")
    if not np.allclose(numbers.values, explanation.values, rtol=1e-3, atol=1e-3 * np.abs(numbers.values).max()):
        raise InputError(
            "explanation must be one of this head and these maps; its values differ from those of the head."
        )
    far = (None, None, None) if reference is None else _distances(reference, numbers)
    return Trust(
        targets=explanation.targets,
        method=explanation.method,
        vanished=np.asarray(explanation.vanished),
        completeness=_completeness(explanation, numbers),
        stability=numbers.stability,
        agreement=numbers.agreement,
        drop=numbers.drop,
        drop_random=numbers.drop_random,
        drop_centre=numbers.drop_centre,
        above_random=numbers.above_random,
        rise=numbers.rise,
        reconstruction_percentile=far[0],
        support_percentile=far[1],
        feature_percentile=far[2],
        evidence=method.evidence,
    )


def _completeness(explanation: Explanation, numbers: Numbers) -> np.ndarray | None:
    """Return the sum of what adds up to ``y(F) - y(0)``, over that difference."""
    if explanation.method in ("hirescam", "xgradcam"):
        total = np.asarray(explanation.signed).reshape(*numbers.gained.shape, -1).sum(axis=-1)
    elif explanation.position_values is not None:
        total = np.asarray(explanation.position_values).reshape(*numbers.gained.shape, -1).sum(axis=-1)
    elif explanation.method in ("liftcam", "ablationcam", "shapcam"):
        total = np.asarray(explanation.weights).sum(axis=-1)
    else:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return total / numbers.gained


def _distances(
    reference: TrainingReference, numbers: Numbers
) -> tuple[np.ndarray | None, dict[str, np.ndarray], np.ndarray | None]:
    """Return the percentiles of reconstruction errors, of distances to support vectors by SVM, and of features."""
    training_errors, errors = reference.reconstruction, numbers.reconstruction
    known = training_errors is not None and errors is not None
    percentiles = _percentiles(np.asarray(training_errors), np.asarray(errors)) if known else None
    training, nearest = np.asarray(reference.components), {}
    if training.shape[1:] != numbers.components.shape[1:]:
        raise InputError(
            f"reference must be that of the head, with {numbers.components.shape[1]} components; got "
            f"{training.shape[1]}."
        )
    for name, rows in reference.support.items():
        vectors = training[np.asarray(rows)]
        distances = np.array([np.sqrt(((vectors - v) ** 2).sum(axis=1)).min() for v in numbers.components])
        nearest[name] = _percentiles(np.asarray(reference.nearest_support[name]), distances)
    if reference.features is None:
        return percentiles, nearest, None
    statistics = FeatureStatistics(**reference.features)
    return percentiles, nearest, _percentiles(statistics.distance, statistics.of(numbers.features))


def _percentiles(training: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.array([100 * np.mean(training < value) for value in values])
