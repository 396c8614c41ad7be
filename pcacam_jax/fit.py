"""From a data set to a run: features, a trained head, PCA, two SVMs, their stages, a certificate (Section 6.1)."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.decomposition import PCA
from sklearn.metrics import f1_score
from sklearn.svm import SVC

from pcacam_jax.blocks import in_batches, root_mean_square, take
from pcacam_jax.checks import InputError
from pcacam_jax.config import FitConfig
from pcacam_jax.data import Dataset
from pcacam_jax.features import cached_features
from pcacam_jax.files import cache_folder
from pcacam_jax.files import digest as digest_of
from pcacam_jax.head import HybridHead
from pcacam_jax.nets import weights
from pcacam_jax.progress import Progress
from pcacam_jax.scikit import from_sklearn, hybrid_head, parity, svm_classifier
from pcacam_jax.train import Member, TrainedHead, divide, train_heads
from pcacam_jax.verify import Certificate, verify

PARITY_TOLERANCE = 1e-10
"""Largest relative difference allowed between a float64 stage and scikit-learn's own output."""
PARITY_ROWS = 1000
FORMAT = 1
"""Part of the key of a kept training: raise it when the same settings would give other numbers."""


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What :func:`fit` returns; figures and the run folder are made from it."""

    config: FitConfig
    weights_digest: str
    dataset: Dataset
    head: HybridHead
    training: TrainedHead
    pca: PCA
    svms: dict[str, SVC]
    maps: dict[str, np.ndarray]
    """Feature maps of "train" and "test", (N, h, w, K)."""
    components: dict[str, np.ndarray]
    """PCA features of "train" and "test", (N, D)."""
    metrics: dict[str, Any]
    point: np.ndarray
    """Maps at which the certificate holds: of the first test image."""
    certificate: Certificate
    timings: dict[str, float]


def fit(dataset: Dataset, config: FitConfig, *, progress: Progress | None = None) -> Fitted:
    """Train and fit everything on ``dataset``; a stage that does not equal its estimator is an error.

    Features and training are kept in the cache, and taken up again from there if they were cut off.

    Raises:
        InputError: too few images, weights that cannot be had, training that diverges.
    """
    return fit_seeds(dataset, config, [config.seed], progress=progress)[0]


def fit_seeds(
    dataset: Dataset, config: FitConfig, seeds: Sequence[int], *, progress: Progress | None = None
) -> list[Fitted]:
    """Return what :func:`fit` returns for each seed; the features are shared and the heads train together.

    Raises:
        InputError: no seeds, or the same one twice; else as :func:`fit`.
    """
    progress = progress or Progress(quiet=True)
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"seeds must be at least one and all different; got {', '.join(map(str, seeds)) or 'none'}.")
    configs = [dataclasses.replace(config, seed=seed) for seed in seeds]
    for seed in seeds:  # now, not after the long extraction
        divide(dataset.train.labels, config.validation_fraction, seed)
    timings: dict[str, float] = {}
    with _timed(timings, "features"):
        digest, maps = _features(dataset, config, progress)
    with _timed(timings, "training"):
        trained = _train(maps["train"], dataset, configs, digest, progress)
    fitted = []
    with progress.bar("PCA and SVMs", len(seeds)) as advance:
        for own, training in zip(configs, trained, strict=True):
            fitted.append(_fitted(dataset, own, digest, maps, training, dict(timings)))
            advance(1)
    return fitted


def _fitted(
    dataset: Dataset,
    config: FitConfig,
    digest: str,
    maps: dict[str, np.ndarray],
    training: TrainedHead,
    timings: dict[str, float],
) -> Fitted:
    with _timed(timings, "estimators"):
        estimators = _estimators(training, maps["train"], dataset, config)
        components = {part: in_batches(jax.vmap(estimators.head.components), own) for part, own in maps.items()}
        metrics = _metrics(estimators, training, maps, dataset)
    with _timed(timings, "verification"):
        point = take(maps["test"], slice(0, 1))[0]
        certificate = verify(estimators.head, jnp.asarray(point), name="head")
    pca, svms, head, _ = estimators
    return Fitted(
        config, digest, dataset, head, training, pca, svms, maps, components, metrics, point, certificate, timings
    )


def _features(dataset: Dataset, config: FitConfig, progress: Progress) -> tuple[str, dict[str, np.ndarray]]:
    params = weights.load(config.weights)
    digest = weights.weights_digest(params)
    options = {"size": config.size, "tap": config.tap, "scaling": config.scaling, "dtype": config.compute}
    maps = {}
    with progress.bar("features", len(dataset.train) + len(dataset.test)) as advance:
        for part, split in {"train": dataset.train, "test": dataset.test}.items():
            maps[part] = cached_features(params, digest, split, **options, storage=config.storage, advance=advance)
    return digest, maps


def _train(
    maps: np.ndarray, dataset: Dataset, configs: Sequence[FitConfig], weights_digest: str, progress: Progress
) -> list[TrainedHead]:
    config = configs[0]
    with progress.bar("training", config.epochs) as advance:
        return train_heads(
            maps,
            dataset.train.labels,
            [Member(own.seed, own.learning_rate) for own in configs],
            sizes=(*config.hidden, len(dataset.class_names)),
            activation=config.activation,
            feature_scale=root_mean_square(maps, pool=config.pool) if config.feature_scale == "rms" else 1.0,
            epochs=config.epochs,
            batch_size=config.batch_size,
            validation_fraction=config.validation_fraction,
            pool=config.pool,
            checkpoint=_checkpoint(dataset, configs, weights_digest),
            advance=advance,
        )


def _checkpoint(dataset: Dataset, configs: Sequence[FitConfig], weights_digest: str) -> Path:
    """Return the file in the cache for this very training, named by everything that its numbers depend on."""
    settings = [{**dataclasses.asdict(own), "weights": weights_digest} for own in configs]
    key = {
        "format": FORMAT,
        "images": dataset.train.fingerprint(),
        "labels": digest_of({"labels": dataset.train.labels}),
        "classes": len(dataset.class_names),
        "settings": settings,
        "versions": [jax.__version__, jax.default_backend()],
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    return cache_folder() / "training" / f"{name}.safetensors"


class Estimators(NamedTuple):
    """The fitted scikit-learn objects, the head made of them, and how closely it follows them."""

    pca: PCA
    svms: dict[str, SVC]
    head: HybridHead
    parity: dict[str, float]


def _estimators(training: TrainedHead, maps: np.ndarray, dataset: Dataset, config: FitConfig) -> Estimators:
    """Fit PCA and SVMs on the training images' x_m, and join all to a head."""
    options = {
        "maps_shape": maps.shape[1:],
        "at": config.at,
        "activation": config.activation,
        "pool": config.pool,
        "class_names": dataset.class_names,
    }
    trunk = hybrid_head(training.layers, **options).trunk
    x_m = np.asarray(in_batches(jax.vmap(trunk), maps), np.float64)
    pca = fit_pca(x_m, config)
    v = pca.transform(x_m)
    parameters: dict[str, Any] = {"C": config.cost, "gamma": config.gamma}
    svms = {
        f"svm_{kernel}": SVC(kernel=kernel, **parameters).fit(v, dataset.train.labels) for kernel in ("linear", "rbf")
    }
    errors = _checked_parity(pca, svms, x_m[:PARITY_ROWS])
    return Estimators(pca, svms, hybrid_head(training.layers, pca=pca, svms=svms, **options), errors)


def fit_pca(x_m: np.ndarray, config: FitConfig) -> PCA:
    """Return the PCA of (N, d_m) training features, its signs fixed.

    Raises:
        InputError: fewer images than components, or features that are the same for every image.
    """
    if len(x_m) < config.components:
        raise InputError(f"{config.components} components need as many training images; got {len(x_m)}.")
    if not np.ptp(x_m, axis=0).any():
        raise InputError(
            f"layer {config.at} of the trained head gives the same output for every image, so there is no component to "
            "find; train for more epochs, or with another activation or learning rate."
        )
    return fix_signs(PCA(config.components).fit(x_m))


def fix_signs(pca: PCA) -> PCA:
    """Turn every component so that its loading of largest magnitude is positive, whatever the solver chose."""
    components = np.asarray(pca.components_)
    largest = components[np.arange(len(components)), np.abs(components).argmax(axis=1)]
    pca.components_ = components * np.where(largest < 0, -1.0, 1.0)[:, None]
    return pca


def _metrics(
    estimators: Estimators, training: TrainedHead, maps: dict[str, np.ndarray], dataset: Dataset
) -> dict[str, Any]:
    truth = {"train": dataset.train.labels, "test": dataset.test.labels}
    predicted = {part: in_batches(jax.vmap(estimators.head.predict), own) for part, own in maps.items()}
    scores: dict[str, Any] = {
        name: {f"{part}_f1": _macro_f1(truth[part], predicted[part][name]) for part in maps}
        for name in ("cnn", *estimators.svms)
    }
    for name, svm in estimators.svms.items():
        scores[name]["support_vectors"] = int(svm.n_support_.sum())
    return {
        "metrics": scores,
        "explained_variance_ratio": [float(ratio) for ratio in estimators.pca.explained_variance_ratio_],
        "best_epoch": training.best_epoch,
        "images": {part: len(own) for part, own in maps.items()},
        "parity": estimators.parity,
    }


def _macro_f1(truth: np.ndarray, predicted: np.ndarray) -> float:
    options: dict[str, Any] = {"average": "macro", "zero_division": 0}
    return float(f1_score(truth, predicted, **options))


def _checked_parity(pca: PCA, svms: dict[str, SVC], x_m: np.ndarray) -> dict[str, float]:
    """Compare every float64 stage with its estimator; a difference is a fault of the library, not of the input."""
    v = pca.transform(x_m)
    with jax.enable_x64(True):
        errors = {"pca": parity(pca, from_sklearn(pca), x_m)}
        errors |= {name: parity(svm, svm_classifier(svm), v) for name, svm in svms.items()}
    for name, error in errors.items():
        if not error <= PARITY_TOLERANCE:
            raise RuntimeError(f"the stage of {name} differs from scikit-learn by {error:.1e}; please report this.")
    return errors


@contextmanager
def _timed(timings: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[name] = round(time.perf_counter() - start, 3)
