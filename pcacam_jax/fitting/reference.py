"""What a run says of its training images, with which new images are compared."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, UInt8
from sklearn.neighbors import NearestNeighbors

from pcacam_jax.cam.distance import feature_statistics
from pcacam_jax.core.brief import brief_repr
from pcacam_jax.fitting.fit import Fitted

THUMBNAIL = 48
"""Side of a thumbnail in pixels."""
BATCH = 256
"""Number of images that are decoded at once."""


@dataclasses.dataclass(frozen=True, eq=False)
class Reference:
    """What a run says of its N training images.

    ``values`` give the percentiles of :meth:`pcacam_jax.runs.loaded_run.Run.compare`, ``spreads`` the typical scale of
    maps, ``support`` the training images of the evidence. ``reconstruction``, ``nearest_support`` and ``features``
    say how far a new image lies from them, see :func:`pcacam_jax.cam.trust.trust`. ``predicted`` is for comparisons of
    your own.
    """

    components: Float[np.ndarray, "N D"]
    """The PCA features."""
    labels: Int[np.ndarray, " N"]
    """The classes."""
    values: dict[str, Float[np.ndarray, "N C"]]
    """The values of every output."""
    spreads: dict[str, Float[np.ndarray, " C"]]
    """The standard deviations of these values."""
    predicted: dict[str, Int[np.ndarray, " N"]]
    """The predicted classes of every classifier."""
    support: dict[str, Int[np.ndarray, " n"]]
    """For every SVM, the training images that are its support vectors, in scikit-learn's order."""
    nearest_support: dict[str, Float[np.ndarray, " N"]]
    """For every SVM, the distance of each image to the nearest support vector other than itself, in the unit of the
    components."""
    thumbnails: UInt8[np.ndarray, "N 48 48 3"] | None
    """Small images; None if the run was fitted without them."""
    reconstruction: Float[np.ndarray, " N"] | None = None
    """The errors of the PCA's reconstruction of ``x_m``, in the unit of ``x_m``; None for runs of earlier versions, and
    for a PCA with as many components as inputs."""
    features: dict[str, Float[np.ndarray, "..."]] | None = None
    """``mean`` and ``scale`` of the features of the training images, ``(K,)``, and their ``distance``, ``(N,)``, see
    :class:`pcacam_jax.cam.distance.FeatureStatistics`; None for runs of earlier versions."""

    __repr__ = brief_repr

    def percentile(self, output: str, column: int, value: float, label: int | None = None) -> float:
        """Return how many of the training images have a smaller value of an output, in percent; equal ones count half.

        Args:
            output: name of the output, such as ``"svm_rbf"``.
            column: index of the class or component.
            value: the value to compare.
            label: the class whose training images are counted; all by default.
        """
        values = self.values[output][:, column]
        values = values if label is None else values[self.labels == label]
        return float(50 * (np.mean(values < value) + np.mean(values <= value)))


def reference_of(fitted: Fitted, *, thumbnails: bool = False) -> Reference:
    """Return the reference of a fitted run.

    Args:
        fitted: the run.
        thumbnails: whether to make thumbnails of all training images.
    """
    v, train = fitted.components["train"], fitted.dataset.train
    values, predicted, reconstruction, features = fitted.outputs
    support = {name: svm.support_.astype(np.int64) for name, svm in fitted.svms.items()}
    return Reference(
        components=v,
        labels=train.labels,
        values=values,
        spreads={name: array.std(axis=0) for name, array in values.items()},
        predicted={name: array.astype(np.int64) for name, array in predicted.items()},
        support=support,
        nearest_support={name: distance_to_nearest(v, rows) for name, rows in support.items()},
        thumbnails=_thumbnails(fitted) if thumbnails else None,
        reconstruction=reconstruction,
        features=feature_statistics(features)._asdict(),
    )


def distance_to_nearest(v: Float[np.ndarray, "N D"], rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, " N"]:
    """Return the distance of every row of ``v`` to the nearest of ``v[rows]`` that is not the row itself.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax.fitting.reference import distance_to_nearest
        >>> distance_to_nearest(np.array([[0.0], [1.0], [5.0]]), np.array([0, 2])).tolist()
        [5.0, 1.0, 5.0]
    """
    distances, _ = NearestNeighbors(n_neighbors=2).fit(v[rows]).kneighbors(v)
    return np.where(np.isin(np.arange(len(v)), rows), distances[:, 1], distances[:, 0])


def _thumbnails(fitted: Fitted) -> np.ndarray:
    train, starts = fitted.dataset.train, range(0, len(fitted.dataset.train), BATCH)
    return np.concatenate([train.images(slice(start, start + BATCH), THUMBNAIL) for start in starts])
