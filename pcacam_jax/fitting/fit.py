"""From a data set to a run: features, a trained head, PCA, two SVMs, their stages, a certificate (Section 6.1)."""

import dataclasses
import hashlib
import json
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.decomposition import PCA
from sklearn.svm import SVC

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import cache_folder
from pcacam_jax.core.files import digest as digest_of
from pcacam_jax.core.progress import KEPT, Progress
from pcacam_jax.data import Dataset
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.estimators import check_components, fit_estimators
from pcacam_jax.fitting.features import cached_features
from pcacam_jax.fitting.out_of_core import map_features, root_mean_square, take
from pcacam_jax.fitting.scores import score, warnings_of
from pcacam_jax.fitting.training import Member, TrainedHead, divide, train_heads
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import PREDICTED
from pcacam_jax.nets import weights as vgg16_weights
from pcacam_jax.verification.certificate import Certificate, verify

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
    """Seconds of every step."""
    extracted: int
    """How many images' features were computed in that time; those of the others were in the cache."""
    resumed: bool
    """Whether the training, or a part of it, was kept from an earlier run."""


class Features(NamedTuple):
    """The feature maps of a dataset."""

    weights_digest: str
    maps: dict[str, np.ndarray]
    """Of "train" and "test", (N, h, w, K)."""
    extracted: int
    """How many images' were computed now, not found in the cache."""


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
    """Return what :func:`fit` returns for each seed, up to rounding; features are shared, heads train together.

    Raises:
        InputError: no seeds, or the same one twice, or a class named "predicted"; else as :func:`fit`.
    """
    progress = progress or Progress(quiet=True)
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"seeds must be at least one and all different; got {', '.join(map(str, seeds)) or 'none'}.")
    if PREDICTED in dataset.class_names:
        raise InputError(
            f"no class may be named {PREDICTED!r}, which targets such as 'cnn:{PREDICTED}' have; rename it."
        )
    configs = [dataclasses.replace(config, seed=seed) for seed in seeds]
    check_components(config, len(dataset.train))  # now, not after the long extraction
    for seed in seeds:
        divide(dataset.train.labels, config.validation_fraction, seed)
    timings: dict[str, float] = {}
    with _timed(timings, "features"):
        features = features_of(dataset, config, progress)
    resumed = _checkpoint(dataset, configs, features.weights_digest).is_file()
    with _timed(timings, "training"):
        trained = train_on(features.maps["train"], dataset, configs, features.weights_digest, progress)
    fitted = []
    with progress.bar("PCA and SVMs", len(seeds)) as advance:
        for own, training in zip(configs, trained, strict=True):
            fitted.append(_fitted(dataset, own, features, training, resumed, dict(timings)))
            advance(1)
    return fitted


def _fitted(
    dataset: Dataset,
    config: FitConfig,
    features: Features,
    training: TrainedHead,
    resumed: bool,
    timings: dict[str, float],
) -> Fitted:
    digest, maps, extracted = features
    with _timed(timings, "estimators"):
        estimators = fit_estimators(training, maps["train"], dataset, config)
        components = {part: map_features(jax.vmap(estimators.head.components), own) for part, own in maps.items()}
        scores = score(estimators, maps, dataset)
    doubts = warnings_of(estimators, scores, components["train"], dataset)
    for doubt in doubts:
        warnings.warn(doubt, stacklevel=3)
    metrics = {
        "metrics": scores,
        "warnings": doubts,
        "explained_variance_ratio": [float(ratio) for ratio in estimators.pca.explained_variance_ratio_],
        "best_epoch": training.best_epoch,
        "images": {part: len(own) for part, own in maps.items()},
        "parity": estimators.parity,
    }
    with _timed(timings, "verification"):
        point = take(maps["test"], slice(0, 1))[0]
        certificate = verify(estimators.head, jnp.asarray(point), name="head")
    pca, svms, head, _ = estimators
    return Fitted(
        config=config,
        weights_digest=digest,
        dataset=dataset,
        head=head,
        training=training,
        pca=pca,
        svms=svms,
        maps=maps,
        components=components,
        metrics=metrics,
        point=point,
        certificate=certificate,
        timings=timings,
        extracted=extracted,
        resumed=resumed,
    )


def features_of(dataset: Dataset, config: FitConfig, progress: Progress) -> Features:
    """Return the feature maps of a dataset, from the cache as far as they are there."""
    params = vgg16_weights.load(config.weights)
    digest = vgg16_weights.weights_digest(params)
    options = {"size": config.size, "tap": config.tap, "scaling": config.scaling, "dtype": config.compute}
    maps, extracted = {}, 0
    with progress.bar("features", len(dataset.train) + len(dataset.test)) as advance:

        def counted(steps: int, /, now: str = "") -> None:
            nonlocal extracted
            extracted += steps if now != KEPT else 0
            advance(steps, now)

        for part, split in {"train": dataset.train, "test": dataset.test}.items():
            maps[part] = cached_features(params, digest, split, **options, storage=config.storage, advance=counted)
    return Features(digest, maps, extracted)


def train_on(
    maps: np.ndarray, dataset: Dataset, configs: Sequence[FitConfig], weights_digest: str, progress: Progress
) -> list[TrainedHead]:
    """Return the trained head of each configuration; they differ in seed and learning rate alone."""
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
    config = configs[0]
    training, _ = divide(dataset.train.labels, config.validation_fraction, config.seed)
    same = {"weights": weights_digest, "batch_size": min(config.batch_size, len(training))}
    settings = [{**dataclasses.asdict(own), **same} for own in configs]
    key = {
        "format": FORMAT,
        "images": dataset.train.fingerprint(),
        "labels": digest_of({"labels": dataset.train.labels}),
        "classes": len(dataset.class_names),
        "settings": settings,
        "backend": jax.default_backend(),
        "versions": [version(library) for library in ("jax", "flax", "optax", "scikit-learn")],
    }
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    return cache_folder() / "training" / f"{name}.safetensors"


@contextmanager
def _timed(timings: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[name] = round(time.perf_counter() - start, 3)
