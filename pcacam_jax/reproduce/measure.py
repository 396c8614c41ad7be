"""From the fits of one dataset to its outcome."""

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
from pcacam_jax.reports.figures import GRID_ROWS, furthest, one_of_each
from pcacam_jax.reports.map_statistics import map_statements
from pcacam_jax.reproduce.outcome import SCHEMA, Outcome, shared_settings
from pcacam_jax.reproduce.paper import CLASSIFIERS, TABLE3
from pcacam_jax.verification.certificate import DTYPES

FIRST_IMAGES = 3
"""Test images of the first class whose maps are kept, as many as the paper's Figure 2 shows."""
CARD_IMAGES = 4
"""Training images at either end of a component."""
TARGETS = [*(f"{name}:predicted" for name in CLASSIFIERS), "pca"]


def measure(fitted: list[Fitted], *, key: str, scale: str, name: str) -> Outcome:
    """Return the outcome of the fits of one of the paper's sets, one fit for each seed."""
    first = fitted[0]
    record = {
        "schema": SCHEMA,
        "key": key,
        "set": name,
        "title": TABLE3[name].title,
        "scale": scale,
        "class_names": list(first.dataset.class_names),
        "images": first.metrics["images"],
        "settings": shared_settings(first.config),
        "seeds": [own.config.seed for own in fitted],
        "scores": _scores(fitted),
        "support_vectors": {
            name: [own.metrics["metrics"][name]["support_vectors"] for own in fitted] for name in first.svms
        },
        "best_epochs": [own.training.best_epoch for own in fitted],
        "curves": {
            name: [[float(value) for value in getattr(own.training, name)] for own in fitted]
            for name in ("validation_accuracy", "train_accuracy", "loss")
        },
        "explained_variance_ratio": [own.metrics["explained_variance_ratio"] for own in fitted],
        "statements": [map_statements(own) for own in fitted],
        "certificate": {
            "passed": all(own.certificate.passed for own in fitted),
            "comparisons": sum(len(own.certificate.comparisons) for own in fitted),
            **{dtype: _worst([own.certificate.max_relative_error(dtype) for own in fitted]) for dtype in DTYPES},
        },
        "warnings": _warnings([own.metrics["warnings"] for own in fitted]),
        "timings": first.timings,
        "extracted": first.extracted,
        "resumed": first.resumed,
        **where_and_when(),
    }
    return Outcome(record, _arrays(first))


def where_and_when() -> dict[str, Any]:
    """Return versions, machine and time: what a reader needs to run it again."""
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


def _scores(fitted: list[Fitted]) -> dict[str, dict[str, list[float]]]:
    return {
        classifier: {
            part: [own.metrics["metrics"][classifier][f"{part}_f1"] for own in fitted] for part in ("train", "test")
        }
        for classifier in CLASSIFIERS
    }


def _warnings(warnings: list[list[str]]) -> list[str]:
    """Return of every seed's warnings the first about each classifier, with the number of seeds that have it.

    Two seeds' sentences differ in their numbers only, and open with the classifier that they are about.
    """
    kinds: dict[str, list[str]] = {}
    for sentence in (sentence for own in warnings for sentence in own):
        kinds.setdefault(" ".join(sentence.split()[:2]), []).append(sentence)
    return [
        own[0]
        + (f" So in {len(own)} of {len(warnings)} seeds; the numbers are of the first." if len(warnings) > 1 else "")
        for own in kinds.values()
    ]


def _worst(errors: list[float]) -> float | None:
    worst = float(np.max(errors))
    return worst if np.isfinite(worst) else None


def _arrays(fitted: Fitted) -> dict[str, np.ndarray]:
    labels = {part: getattr(fitted.dataset, part).labels for part in ("train", "test")}
    arrays = {f"{part}.labels": own.astype(np.int64) for part, own in labels.items()}
    arrays |= {f"{part}.features": own for part, own in fitted.components.items()}
    # One RBF-SVM's support vectors are rows of its training features.
    arrays["support_rows"] = fitted.svms["svm_rbf"].support_.astype(np.int64)
    grid = one_of_each(labels["test"], int(np.clip(len(fitted.dataset.class_names), *GRID_ROWS)))
    first = np.flatnonzero(labels["test"] == 0)[:FIRST_IMAGES]
    groups = {"grid": _explained(fitted, grid), "first": _explained(fitted, first), "cards": _cards(fitted)}
    return arrays | {f"{name}.{key}": value for name, own in groups.items() for key, value in own.items()}


def _explained(fitted: Fitted, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return test images with the positive maps of the classifiers' predictions and the components' signed maps.

    ``vanished`` (n, 3) says which classifiers' gradients underflowed, so that their maps say nothing.
    """
    explained = explain(fitted.head, np.asarray(fitted.maps["test"][rows], np.float32), TARGETS)
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
    """Return the training images at both ends of every component; ``places`` (D, 2, n) says which are where."""
    v = fitted.components["train"]
    rows, places = furthest(v, CARD_IMAGES)
    return {
        "images": fitted.dataset.train.images(rows, fitted.config.size),
        "labels": fitted.dataset.train.labels[rows].astype(np.int64),
        "values": v[rows],
        "maps": np.asarray(explain(fitted.head, np.asarray(fitted.maps["train"][rows], np.float32), "pca").signed),
        "places": places.astype(np.int64),
    }
