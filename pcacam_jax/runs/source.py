"""Where the data of a run came from, so that a loaded run can read its images again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.paths import user_path
from pcacam_jax.data import EMBEDDED_SAMPLE, Dataset, read_dataset, read_paper_set


def recorded(source: str | Path, **options: Any) -> dict[str, Any]:
    """Return the arguments of :func:`pcacam_jax.data.read_dataset` as JSON values, with absolute paths.

    Example:
        >>> from pcacam_jax.runs.source import recorded
        >>> recorded("fashion_mnist_sample", seed=0, class_names=None)
        {'source': 'fashion_mnist_sample', 'seed': 0}
    """
    given = {name: value for name, value in options.items() if value is not None}
    return {"source": _absolute(source)} | {
        name: str(user_path(value).absolute()) if isinstance(value, Path) else value for name, value in given.items()
    }


def recorded_paper_set(name: str, root: Path | None, limit_per_class: int | None) -> dict[str, Any]:
    """Return the arguments of :func:`pcacam_jax.data.read_paper_set` as JSON values, with an absolute path."""
    folder = None if root is None else str(user_path(root).absolute())
    return {"name": name, "root": folder, "limit_per_class": limit_per_class}


def _absolute(source: str | Path) -> str:
    path = user_path(source)
    return str(path.absolute()) if path.exists() and source != EMBEDDED_SAMPLE else str(source)


def fingerprints(dataset: Dataset) -> dict[str, str]:
    """Return the digests of the images of both splits."""
    return {"train": dataset.train.fingerprint(), "test": dataset.test.fingerprint()}


def read_again(source: Mapping[str, Any] | None, expected: Mapping[str, str] | None) -> Dataset:
    """Read the dataset of a run again.

    Args:
        source: the result of :func:`recorded` or :func:`recorded_paper_set` when the run was fitted; None if it is not
            known.
        expected: the :func:`fingerprints` of its images.

    Raises:
        InputError: the source is not known, cannot be read, or holds other images than at the time of the fit.
    """
    if source is None or expected is None:
        raise InputError(
            "this run does not say where its images came from, because it was fitted to a dataset made in Python or by "
            "an earlier version; give the image itself, or fit the run again with pcacam fit."
        )
    try:
        dataset = read_paper_set(**source) if "name" in source else read_dataset(**source)
    except InputError as error:
        raise InputError(
            f"the images that this run was fitted to cannot be read again from {_shown(source)} ({error}); put them "
            "back, or give the image itself."
        ) from error
    if fingerprints(dataset) != dict(expected):
        raise InputError(
            f"{_shown(source)} holds other images than when this run was fitted; restore them, or give the image "
            "itself."
        )
    return dataset


def _shown(source: Mapping[str, Any]) -> str:
    return source["name"] if "name" in source else source["source"]
