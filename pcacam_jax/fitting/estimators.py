"""PCA and SVMs fitted to the outputs of a trained head, and the hybrid head built from all of them (Section 6.1)."""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from pcacam_jax.core.checks import InputError
from pcacam_jax.data import Dataset
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.out_of_core import map_features
from pcacam_jax.fitting.training import TrainedHead
from pcacam_jax.head.hybrid import HybridHead, spatial_chain
from pcacam_jax.nets import vgg16
from pcacam_jax.scikit import from_sklearn, hybrid_head, pair_values, parity, svm_classifier

PARITY_TOLERANCE = 1e-10
"""Largest allowed relative difference between a float64 stage and scikit-learn's output, beside rounding."""
PARITY_ROWS = 1000
"""Number of training images that are compared."""
CONSTANT_TOLERANCE = 1e-5
"""Features whose range over the images, relative to their largest value, is below this differ by rounding only."""


class Estimators(NamedTuple):
    """The fitted scikit-learn estimators, the head built from them, and its differences from them."""

    pca: PCA
    svms: dict[str, SVC]
    head: HybridHead
    parity: dict[str, float]
    """Relative difference between each float64 stage and its estimator."""


def fit_estimators(training: TrainedHead, maps: np.ndarray, dataset: Dataset, config: FitConfig) -> Estimators:
    """Fit a PCA and two SVMs to the training images' x_m, and build the hybrid head that reads the cached maps.

    Args:
        training: the trained dense layers.
        maps: cached feature maps of the training images, ``(N, h, w, K)``; see :func:`head_at_tap`.
        dataset: the labels and the class names.
        config: layer, activation and hyper-parameters.

    Returns:
        The PCA, the SVMs ``"svm_linear"`` and ``"svm_rbf"``, the head, and its differences from scikit-learn.

    Raises:
        InputError: there are fewer images than components, or x_m is the same for every image.
        RuntimeError: a stage differs from its estimator.
    """
    options = {
        "maps_shape": maps.shape[1:],
        "at": config.at,
        "activation": config.activation,
        "class_names": dataset.class_names,
    }
    trunk = hybrid_head(training.layers, **options).trunk
    x_m = np.asarray(map_features(jax.vmap(trunk), maps), np.float64)
    pca = fit_pca(x_m, config)
    v = pca.transform(x_m)
    parameters: dict[str, Any] = {
        "C": config.cost,
        "gamma": config.gamma,
        "class_weight": "balanced" if config.balance else None,
    }
    svms = {
        f"svm_{kernel}": SVC(kernel=kernel, **parameters).fit(v, dataset.train.labels) for kernel in ("linear", "rbf")
    }
    errors = checked_parity(pca, svms, x_m[:PARITY_ROWS])
    return Estimators(pca, svms, hybrid_head(training.layers, pca=pca, svms=svms, **options), errors)


def head_at_tap(head: HybridHead, config: FitConfig) -> HybridHead:
    """Return the head for maps at the tap: with a max-pool in front of a head for the cached maps, or unchanged."""
    shape = vgg16.maps_shape((config.size, config.size), config.tap)
    return dataclasses.replace(head, spatial=spatial_chain(shape, pool=True)) if config.pool else head


def fit_pca(x_m: np.ndarray, config: FitConfig) -> PCA:
    """Fit a PCA to (N, d_m) training features and fix the signs of its components (Eq. 4).

    Raises:
        InputError: there are fewer images than components, or the features are the same for every image.
    """
    check_components(config, len(x_m))
    if np.ptp(x_m, axis=0).max() <= CONSTANT_TOLERANCE * np.abs(x_m).max():
        raise InputError(
            f"layer {config.at} of the trained head gives the same output for every image, so the PCA has no "
            "components; train for more epochs, or use another activation or learning rate."
        )
    # NumPy arrays whatever the caller's sklearn.set_config(transform_output=...) says
    return fix_signs(PCA(config.components).set_output(transform="default").fit(x_m))


def check_components(config: FitConfig, images: int) -> None:
    """Check that there are at least as many training images as components.

    Raises:
        InputError: there are fewer images.
    """
    if images < config.components:
        raise InputError(
            f"{config.components} components need at least as many training images; got {images}; give more images, "
            "or use fewer components."
        )


def fix_signs(pca: PCA) -> PCA:
    """Flip components so that the largest loading of each is positive; the sign of a solver's result is arbitrary.

    Args:
        pca: a fitted PCA, changed in place.

    Returns:
        The same PCA.

    Example:
        >>> import numpy as np
        >>> from sklearn.decomposition import PCA
        >>> from pcacam_jax.fitting.estimators import fix_signs
        >>> pca = PCA(1).fit(np.array([[0.0, 0.0], [-1.0, -3.0], [1.0, 3.0]]))
        >>> bool(fix_signs(pca).components_[0, 1] > 0)
        True
    """
    components = np.asarray(pca.components_)
    largest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
    pca.components_ = components * np.where(largest < 0, -1.0, 1.0)[:, None]
    return pca


def checked_parity(pca: PCA, svms: dict[str, SVC], x_m: np.ndarray) -> dict[str, float]:
    """Return the relative difference between every float64 stage and its estimator.

    Raises:
        RuntimeError: a difference exceeds rounding, which is a bug in this library and not in the input.
    """
    v = pca.transform(x_m)
    with jax.enable_x64(True):
        errors = {"pca": parity(pca, from_sklearn(pca), x_m)}
        errors |= {name: parity(svm, svm_classifier(svm), v) for name, svm in svms.items()}
    # Features that differ little from their mean lose digits when the mean is subtracted
    rounding = {"pca": np.finfo(float).eps * x_m.shape[1] * np.abs(x_m).max() / np.abs(v).max()}
    rounding |= {name: _cancellation(svm, v) for name, svm in svms.items()}
    for name, error in errors.items():
        if not error <= PARITY_TOLERANCE + rounding[name]:
            raise RuntimeError(f"the stage of {name} differs from scikit-learn by {error:.1e}; please report this bug.")
    return errors


def gamma_of(svm: SVC) -> float:
    """Return the kernel coefficient that a fitted SVM computes with, also if its option is "scale" or "auto"."""
    return float(svm._gamma)


def _cancellation(svm: SVC, v: np.ndarray) -> float:
    """Return the relative rounding error of an SVM's sum over support vectors, whose terms may exceed the sum."""
    reach = 4 * float(np.sum(v**2, axis=1).max())
    term = reach if svm.kernel == "linear" else 1 + gamma_of(svm) * reach
    terms = np.abs(np.asarray(svm.dual_coef_)).sum(axis=1).max() * term
    return float(np.finfo(float).eps * terms / np.abs(pair_values(svm, v)).max())
