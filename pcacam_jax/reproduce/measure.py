"""Measure the fits of one dataset and collect the results as its outcome."""

import datetime
import os
import platform
from importlib.metadata import version
from typing import Any

import jax
import numpy as np

from pcacam_jax.cam.explain import explain
from pcacam_jax.core.version import __version__
from pcacam_jax.fitting.fit import Fitted
from pcacam_jax.reports.class_table import CLASSIFIERS
from pcacam_jax.reports.figures import GRID_ROWS, furthest, one_of_each
from pcacam_jax.reports.map_statistics import map_statements
from pcacam_jax.reproduce.outcome import SCHEMA, Outcome, shared_settings
from pcacam_jax.reproduce.paper import TABLE3
from pcacam_jax.verification.certificate import DTYPES

FIRST_IMAGES = 3
"""Number of test images of the first class whose maps are stored, as many as the paper's Figure 2 shows."""
CARD_IMAGES = 4
"""Number of training images at each end of a component."""
TARGETS = [*(f"{name}:predicted" for name in CLASSIFIERS), "pca"]


def measure(fits: list[Fitted], *, key: str, scale: str, name: str) -> Outcome:
    """Return the outcome of one of the paper's datasets, given one fit per seed."""
    first = fits[0]
    record = {
        "schema": SCHEMA,
        "key": key,
        "set": name,
        "title": TABLE3[name].title,
        "scale": scale,
        "class_names": list(first.dataset.class_names),
        "images": first.metrics["images"],
        "settings": shared_settings(first.config),
        "seeds": [fit.config.seed for fit in fits],
        "scores": _scores(fits),
        "support_vectors": {
            name: [fit.metrics["metrics"][name]["support_vectors"] for fit in fits] for name in first.svms
        },
        "best_epochs": [fit.training.best_epoch for fit in fits],
        "curves": {
            name: [[float(value) for value in getattr(fit.training, name)] for fit in fits]
            for name in ("validation_accuracy", "train_accuracy", "loss")
        },
        "explained_variance_ratio": [fit.metrics["explained_variance_ratio"] for fit in fits],
        "statements": [map_statements(fit) for fit in fits],
        "certificate": {
            "passed": all(fit.certificate.passed for fit in fits),
            "comparisons": sum(len(fit.certificate.comparisons) for fit in fits),
            **{dtype: _worst([fit.certificate.max_relative_error(dtype) for fit in fits]) for dtype in DTYPES},
        },
        **_warnings([fit.metrics for fit in fits]),
        "timings": first.timings,
        "extracted": first.extracted,
        "resumed": first.resumed,
        **environment(),
    }
    return Outcome(record, _arrays(first))


def environment() -> dict[str, Any]:
    """Return library versions, hardware and time, so that a reader can repeat the measurement."""
    device = jax.devices()[0]
    libraries = ("jax", "numpy", "scikit-learn")
    return {
        "versions": {
            "pcacam_jax": __version__,
            "python": platform.python_version(),
            **{library: version(library) for library in libraries},
        },
        "machine": {
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "processor": platform.machine(),
            "device": device.device_kind,
        },
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _scores(fits: list[Fitted]) -> dict[str, dict[str, list[float]]]:
    return {
        classifier: {
            split: [fit.metrics["metrics"][classifier][f"{split}_f1"] for fit in fits] for split in ("train", "test")
        }
        for classifier in CLASSIFIERS
    }


def _warnings(metrics: list[dict[str, Any]]) -> dict[str, list]:
    """Return one warning of each kind and subject, with the number of seeds that have it; the numbers may differ.

    Args:
        metrics: the metrics of one fit per seed.

    Returns:
        ``"warnings"``, sentences, and ``"warning_kinds"``, the kind and the subject of each.
    """
    sentences: dict[tuple[str, str], list[str]] = {}
    for one in metrics:
        for text, kind in zip(one["warnings"], one["warning_kinds"], strict=True):
            sentences.setdefault((kind["kind"], kind["subject"]), []).append(text)
    texts = [
        texts[0]
        + (
            f" This applies to {len(texts)} of {len(metrics)} seeds; the numbers are those of the first of them."
            if len(metrics) > 1
            else ""
        )
        for texts in sentences.values()
    ]
    return {"warnings": texts, "warning_kinds": [{"kind": kind, "subject": subject} for kind, subject in sentences]}


def _worst(errors: list[float]) -> float | None:
    worst = float(np.max(errors))
    return worst if np.isfinite(worst) else None


def _arrays(fitted: Fitted) -> dict[str, np.ndarray]:
    labels = {split: getattr(fitted.dataset, split).labels for split in ("train", "test")}
    arrays = {f"{split}.labels": values.astype(np.int64) for split, values in labels.items()}
    arrays |= {f"{split}.features": values for split, values in fitted.components.items()}
    # The support vectors themselves are rows of the training features.
    arrays["support_rows"] = fitted.svms["svm_rbf"].support_.astype(np.int64)
    grid = one_of_each(labels["test"], int(np.clip(len(fitted.dataset.class_names), *GRID_ROWS)))
    first = np.flatnonzero(labels["test"] == 0)[:FIRST_IMAGES]
    groups = {"grid": _explained(fitted, grid), "first": _explained(fitted, first), "cards": _cards(fitted)}
    return arrays | {f"{name}.{key}": value for name, group in groups.items() for key, value in group.items()}


def _explained(fitted: Fitted, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return test images with the classifiers' positive maps of their predicted class and the components' signed maps.

    ``vanished`` (n, 3) marks the classifiers whose gradient underflowed, so that their maps carry no information.
    """
    explained = explain(fitted.head, fitted.tap_maps["test"][rows], TARGETS, method="gradcam")
    classifiers = len(CLASSIFIERS)
    return {
        "images": fitted.dataset.test.images(rows, fitted.config.size),
        "labels": fitted.dataset.test.labels[rows].astype(np.int64),
        "classifiers": np.asarray(explained.positive[:, :classifiers]),
        "predicted": np.asarray(explained.columns[:, :classifiers]).astype(np.int64),
        "components": np.asarray(explained.signed[:, classifiers:]),
        "vanished": explained.vanished[:, :classifiers],
    }


def _cards(fitted: Fitted) -> dict[str, np.ndarray]:
    """Return the training images at both ends of every component, with their maps.

    ``places`` (D, 2, n) indexes the other arrays: for each component the n largest values, then the n smallest.
    """
    v = fitted.components["train"]
    rows, places = furthest(v, CARD_IMAGES)
    return {
        "images": fitted.dataset.train.images(rows, fitted.config.size),
        "labels": fitted.dataset.train.labels[rows].astype(np.int64),
        "values": v[rows],
        "maps": np.asarray(explain(fitted.head, fitted.tap_maps["train"][rows], "pca", method="gradcam").signed),
        "places": places.astype(np.int64),
    }
