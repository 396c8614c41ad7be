"""Fit a run to a dataset: features, trained head, PCA, two SVMs, hybrid head and certificate (Section 6.1)."""

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

from pcacam_jax.core.brief import brief_repr
from pcacam_jax.core.checks import InputError
from pcacam_jax.core.files import cache_folder
from pcacam_jax.core.files import digest as digest_of
from pcacam_jax.core.progress import CACHED, Progress
from pcacam_jax.data import Dataset
from pcacam_jax.fitting.config import FitConfig
from pcacam_jax.fitting.estimators import check_components, fit_estimators, gamma_of, head_at_tap
from pcacam_jax.fitting.features import CACHED_TAP, cached_features
from pcacam_jax.fitting.out_of_core import map_features, root_mean_square
from pcacam_jax.fitting.run_warnings import RunWarning, data_warnings_of, warnings_of
from pcacam_jax.fitting.scores import HeadOutputs, class_scores, confusion_matrices, head_outputs, score
from pcacam_jax.fitting.tap_maps import TapMaps
from pcacam_jax.fitting.training import Member, TrainedHead, train_heads, validation_split
from pcacam_jax.head.hybrid import HybridHead
from pcacam_jax.head.targets import PREDICTED
from pcacam_jax.nets import weights as vgg16_weights
from pcacam_jax.verification.certificate import Certificate, verify

FORMAT = 1
"""Part of the key of a cached training; increase it whenever the same settings would give other numbers."""


@dataclasses.dataclass(frozen=True)
class Fitted:
    """The result of :func:`fit`, from which figures and run folders are made."""

    config: FitConfig
    weights_digest: str
    """SHA-256 digest of VGG16's weights."""
    dataset: Dataset
    head: HybridHead
    """The trained layers, PCA and SVMs as one differentiable head, from maps at the tap to all outputs."""
    training: TrainedHead
    """The trained layers and the history of the training."""
    pca: PCA
    svms: dict[str, SVC]
    """The fitted "svm_linear" and "svm_rbf"."""
    maps: dict[str, np.ndarray]
    """Cached maps of "train" and "test" behind VGG16's last max-pool, ``(N, h2, w2, K)``, which the fit uses."""
    tap_maps: dict[str, TapMaps]
    """Feature maps of "train" and "test" at the tap, ``(N, h, w, K)``, which ``head`` reads; computed when indexed."""
    components: dict[str, np.ndarray]
    """PCA features of "train" and "test", ``(N, D)``."""
    outputs: HeadOutputs
    """The values of every output and the predictions for the training images."""
    metrics: dict[str, Any]
    """Scores, warnings, explained variance, best epoch, numbers of images and differences from scikit-learn."""
    point: np.ndarray
    """Feature maps of the first test image at the tap, ``(h, w, K)``, at which the head is verified."""
    certificate: Certificate
    """Comparison of the head's closed forms with the reference methods at ``point``."""
    timings: dict[str, float]
    """Duration of every step in seconds."""
    extracted: int
    """Number of images whose features were computed; the features of the others were cached."""
    resumed: bool
    """Whether the training, or a part of it, was loaded from the cache."""

    __repr__ = brief_repr


class Features(NamedTuple):
    """The feature maps of a dataset."""

    weights_digest: str
    maps: dict[str, np.ndarray]
    """Cached feature maps of "train" and "test", ``(N, h2, w2, K)``."""
    tap_maps: dict[str, TapMaps]
    """Feature maps of "train" and "test" at the tap."""
    extracted: int
    """Number of images whose maps were computed and not cached."""


def fit(dataset: Dataset, config: FitConfig, *, progress: Progress | None = None) -> Fitted:
    """Extract features, train the head, fit PCA and SVMs, and verify the resulting hybrid head.

    Features and training states are cached, so that an interrupted fit continues where it stopped. Every stage is
    compared with its estimator. Warnings are issued if a classifier has learned nothing or memorises.

    Args:
        dataset: training and test images.
        config: the settings.
        progress: where progress is shown; by default nowhere.

    Returns:
        The head, the estimators, feature maps, scores and the certificate.

    Raises:
        InputError: there are too few images, VGG16's weights cannot be found, the training diverges, or a class is
            named "predicted".
        RuntimeError: a stage differs from its estimator, which is a bug in this library.
    """
    return fit_seeds(dataset, config, [config.seed], progress=progress)[0]


def fit_seeds(
    dataset: Dataset, config: FitConfig, seeds: Sequence[int], *, progress: Progress | None = None
) -> list[Fitted]:
    """Fit a run for each seed; the features are shared, and the heads are trained together.

    Args:
        dataset: training and test images.
        config: the settings; its seed is ignored.
        seeds: seeds of the runs.
        progress: where progress is shown; by default nowhere.

    Returns:
        For each seed the result of :func:`fit`, up to rounding.

    Raises:
        InputError: ``seeds`` is empty or contains a seed twice, or for the reasons of :func:`fit`.
    """
    progress = progress or Progress(quiet=True)
    if not seeds or len(set(seeds)) < len(seeds):
        raise InputError(f"seeds must be one or more different numbers; got {', '.join(map(str, seeds)) or 'none'}.")
    if PREDICTED in dataset.class_names:
        raise InputError(
            f"no class may be named {PREDICTED!r}, because targets such as 'cnn:{PREDICTED}' use this name; rename it."
        )
    configs = [dataclasses.replace(config, seed=seed) for seed in seeds]
    check_components(config, len(dataset.train))  # before the long extraction
    for seed in seeds:
        validation_split(dataset.train.labels, config.validation_fraction, seed)
    timings: dict[str, float] = {}
    with _timed(timings, "features"):
        features = features_of(dataset, config, progress)
        data_warnings = data_warnings_of(dataset, features.maps)
        for warning in data_warnings:
            warnings.warn(warning.text, stacklevel=3)
    resumed = _checkpoint(dataset, configs, features.weights_digest).is_file()
    with _timed(timings, "training"):
        trained = train_on(features.maps["train"], dataset, configs, features.weights_digest, progress)
    fitted = []
    with progress.bar("PCA and SVMs", len(seeds)) as advance:
        for seed_config, training in zip(configs, trained, strict=True):
            fitted.append(_fitted(dataset, seed_config, features, training, resumed, data_warnings, dict(timings)))
            advance(1)
    return fitted


def _fitted(
    dataset: Dataset,
    config: FitConfig,
    features: Features,
    training: TrainedHead,
    resumed: bool,
    data_warnings: list[RunWarning],
    timings: dict[str, float],
) -> Fitted:
    digest, maps, tap_maps, extracted = features
    with _timed(timings, "estimators"):
        estimators = fit_estimators(training, maps["train"], dataset, config)
        components_of = jax.vmap(estimators.head.components)
        components = {part: map_features(components_of, part_maps) for part, part_maps in maps.items()}
        outputs = head_outputs(estimators.head, maps)
        scores, confusion = score(estimators, outputs, dataset), confusion_matrices(outputs, dataset)
    run_warnings = warnings_of(estimators, scores, confusion, components["train"], dataset)
    for warning in run_warnings:
        warnings.warn(warning.text, stacklevel=3)
    run_warnings = [*data_warnings, *run_warnings]
    metrics = {
        "class_names": list(dataset.class_names),
        "metrics": scores,
        "class_scores": {
            name: {part: {"confusion": matrix.tolist(), **class_scores(matrix)} for part, matrix in parts.items()}
            for name, parts in confusion.items()
        },
        "gamma": gamma_of(estimators.svms["svm_rbf"]),
        "warnings": [warning.text for warning in run_warnings],
        "warning_kinds": [{"kind": warning.kind, "subject": warning.subject} for warning in run_warnings],
        "explained_variance_ratio": [float(ratio) for ratio in estimators.pca.explained_variance_ratio_],
        "best_epoch": training.best_epoch,
        "images": {part: len(part_maps) for part, part_maps in maps.items()},
        "parity": estimators.parity,
    }
    with _timed(timings, "verification"):
        head = head_at_tap(estimators.head, config)
        point = tap_maps["test"][[0]][0]
        certificate = verify(head, jnp.asarray(point), name="head", curvature=False)
    return Fitted(
        config=config,
        weights_digest=digest,
        dataset=dataset,
        head=head,
        training=training,
        pca=estimators.pca,
        svms=estimators.svms,
        maps=maps,
        tap_maps=tap_maps,
        components=components,
        outputs=outputs["train"],
        metrics=metrics,
        point=point,
        certificate=certificate,
        timings=timings,
        extracted=extracted,
        resumed=resumed,
    )


def features_of(dataset: Dataset, config: FitConfig, progress: Progress) -> Features:
    """Return the feature maps of a dataset; those behind the last max-pool are cached, or else extracted now."""
    params = vgg16_weights.load(config.weights)
    digest = vgg16_weights.weights_digest(params)
    options = {"size": config.size, "tap": CACHED_TAP, "scaling": config.scaling, "dtype": config.compute}
    maps, tap_maps, extracted = {}, {}, 0
    with progress.bar("features", len(dataset.train) + len(dataset.test)) as advance:

        def counted(steps: int, /, now: str = "") -> None:
            nonlocal extracted
            extracted += steps if now != CACHED else 0
            advance(steps, now)

        for part, split in {"train": dataset.train, "test": dataset.test}.items():
            maps[part] = cached_features(params, digest, split, **options, storage=config.storage, advance=counted)
            tap_maps[part] = TapMaps(params, split, config, maps[part])
    return Features(digest, maps, tap_maps, extracted)


def train_on(
    maps: np.ndarray, dataset: Dataset, configs: Sequence[FitConfig], weights_digest: str, progress: Progress
) -> list[TrainedHead]:
    """Train a head for each configuration; only their seeds and learning rates may differ.

    Args:
        maps: cached feature maps of the training images, ``(N, h, w, K)``.
        dataset: the labels.
        configs: the settings.
        weights_digest: digest of VGG16's weights, part of the name of the checkpoint.
        progress: where progress is shown.
    """
    config = configs[0]
    with progress.bar("training", config.epochs) as advance:
        return train_heads(
            maps,
            dataset.train.labels,
            [Member(each.seed, each.learning_rate) for each in configs],
            sizes=(*config.hidden, len(dataset.class_names)),
            activation=config.activation,
            feature_scale=root_mean_square(maps) if config.feature_scale == "rms" else 1.0,
            epochs=config.epochs,
            batch_size=config.batch_size,
            validation_fraction=config.validation_fraction,
            balance=config.balance,
            checkpoint=_checkpoint(dataset, configs, weights_digest),
            advance=advance,
        )


def _checkpoint(dataset: Dataset, configs: Sequence[FitConfig], weights_digest: str) -> Path:
    """Return the checkpoint file of this training, named by a hash of everything that its results depend on."""
    config = configs[0]
    training, _ = validation_split(dataset.train.labels, config.validation_fraction, config.seed)
    # Settings that give the same results get the same key
    normalised = {"weights": weights_digest, "tap": CACHED_TAP, "batch_size": min(config.batch_size, len(training))}
    settings = [{**dataclasses.asdict(each), **normalised} for each in configs]
    if not config.balance:  # without it the key is that of earlier versions, which had no such setting
        settings = [{key: value for key, value in each.items() if key != "balance"} for each in settings]
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
