"""PCA and SVMs on the outputs of a trained head, joined with it to one hybrid head (Section 6.1)."""

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
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.scikit import from_sklearn, hybrid_head, pair_values, parity, svm_classifier

PARITY_TOLERANCE = 1e-10
"""Largest relative difference allowed between a float64 stage and scikit-learn's own output."""
PARITY_ROWS = 1000
ROUNDING = 1e-5
"""Relative differences between images that float32 features cannot tell from none."""


class Estimators(NamedTuple):
    """The fitted scikit-learn objects, the head made of them, and how closely it follows them."""

    pca: PCA
    svms: dict[str, SVC]
    head: HybridHead
    parity: dict[str, float]


def fit_estimators(training: TrainedHead, maps: np.ndarray, dataset: Dataset, config: FitConfig) -> Estimators:
    """Fit PCA and SVMs on the training images' x_m, and join all to a head."""
    options = {
        "maps_shape": maps.shape[1:],
        "at": config.at,
        "activation": config.activation,
        "pool": config.pool,
        "class_names": dataset.class_names,
    }
    trunk = hybrid_head(training.layers, **options).trunk
    x_m = np.asarray(map_features(jax.vmap(trunk), maps), np.float64)
    pca = fit_pca(x_m, config)
    v = pca.transform(x_m)
    parameters: dict[str, Any] = {"C": config.cost, "gamma": config.gamma}
    svms = {
        f"svm_{kernel}": SVC(kernel=kernel, **parameters).fit(v, dataset.train.labels) for kernel in ("linear", "rbf")
    }
    errors = checked_parity(pca, svms, x_m[:PARITY_ROWS])
    return Estimators(pca, svms, hybrid_head(training.layers, pca=pca, svms=svms, **options), errors)


def fit_pca(x_m: np.ndarray, config: FitConfig) -> PCA:
    """Return the PCA of (N, d_m) training features, its signs fixed.

    Raises:
        InputError: fewer images than components, or features that are the same for every image.
    """
    check_components(config, len(x_m))
    if np.ptp(x_m, axis=0).max() <= ROUNDING * np.abs(x_m).max():
        raise InputError(
            f"layer {config.at} of the trained head gives the same output for every image, so there is no component to "
            "find; train for more epochs, or with another activation or learning rate."
        )
    return fix_signs(PCA(config.components).fit(x_m))


def check_components(config: FitConfig, images: int) -> None:
    """Check that the training images suffice for the components.

    Raises:
        InputError: there are fewer images.
    """
    if images < config.components:
        raise InputError(
            f"{config.components} components need as many training images; got {images}; give more images, or take "
            "fewer components."
        )


def fix_signs(pca: PCA) -> PCA:
    """Turn every component so that its loading of largest magnitude is positive, whatever the solver chose."""
    components = np.asarray(pca.components_)
    largest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
    pca.components_ = components * np.where(largest < 0, -1.0, 1.0)[:, None]
    return pca


def checked_parity(pca: PCA, svms: dict[str, SVC], x_m: np.ndarray) -> dict[str, float]:
    """Compare every float64 stage with its estimator; a difference is a fault of the library, not of the input."""
    v = pca.transform(x_m)
    with jax.enable_x64(True):
        errors = {"pca": parity(pca, from_sklearn(pca), x_m)}
        errors |= {name: parity(svm, svm_classifier(svm), v) for name, svm in svms.items()}
    # Features that differ little from their mean lose digits when it is subtracted
    lost = {"pca": np.finfo(float).eps * x_m.shape[1] * np.abs(x_m).max() / np.abs(v).max()}
    lost |= {name: _cancellation(svm, v) for name, svm in svms.items()}
    for name, error in errors.items():
        if not error <= PARITY_TOLERANCE + lost[name]:
            raise RuntimeError(f"the stage of {name} differs from scikit-learn by {error:.1e}; please report this.")
    return errors


def _cancellation(svm: SVC, v: np.ndarray) -> float:
    """Return the relative rounding error of a sum over support vectors whose terms are larger than the sum."""
    reach = 4 * float(np.sum(v**2, axis=1).max())
    term = reach if svm.kernel == "linear" else 1 + float(svm.gamma) * reach
    terms = np.abs(np.asarray(svm.dual_coef_)).sum(axis=1).max() * term
    return float(np.finfo(float).eps * terms / np.abs(pair_values(svm, v)).max())
