"""The file reference.safetensors, which holds what a run says of its training images.

It holds these arrays for N training images, C classes and D components::

    components            (N, D)          PCA features
    labels                (N,)            classes
    values/OUTPUT         (N, C or D)     values of every output
    spreads/OUTPUT        (C or D,)       their standard deviations
    predicted/CLASSIFIER  (N,)            predicted classes
    support/SVM           (n,)            rows of the SVM's support vectors, in the order of scikit-learn's ``support_``
    nearest_support/SVM   (N,)            distance of each image to the nearest support vector other than itself
    reconstruction        (N,)            errors of the PCA's reconstruction, in files of this version on
    features/mean         (K,)            mean of the features, also from this version on
    features/scale        (K,)            their standard deviations
    features/distance     (N,)            the distance of each image from the mean, in standard deviations
    thumbnails            (N, 48, 48, 3)  small images, only with ``pcacam fit --thumbnails``
"""

import dataclasses
from pathlib import Path

from pcacam_jax.core.array_file import read_arrays, write_arrays
from pcacam_jax.core.checks import InputError
from pcacam_jax.fitting.fit import Fitted
from pcacam_jax.fitting.reference import Reference, reference_of
from pcacam_jax.scikit.svm import expansion_of
from pcacam_jax.serialization import store
from pcacam_jax.stages import KernelExpansion, OneVsOneExpansion

REFERENCE = "reference.safetensors"
LINEAR_SUPPORT = "linear_support.safetensors"
"""The support vectors of the linear SVM, of which the head stores only the weighted sum."""
LINEAR = "svm_linear"


def write_reference(folder: Path, fitted: Fitted, *, thumbnails: bool = False) -> None:
    """Write the reference of a run and the support vectors of its linear SVM into its folder."""
    reference, arrays = reference_of(fitted, thumbnails=thumbnails), {}
    for field in dataclasses.fields(reference):
        value = getattr(reference, field.name)
        if isinstance(value, dict):
            arrays |= {f"{field.name}/{name}": array for name, array in value.items()}
        elif value is not None:
            arrays[field.name] = value
    write_arrays(folder / REFERENCE, arrays)
    store.save(folder / LINEAR_SUPPORT, expansion_of(fitted.svms[LINEAR], collapse=False))


def read_reference(folder: Path) -> Reference:
    """Read the reference of a run.

    Raises:
        InputError: the file does not exist, because an earlier version fitted the run, or it is damaged.
    """
    path = folder / REFERENCE
    if not path.is_file():
        raise InputError(
            f"the run folder {folder} has no {REFERENCE}, because an earlier version fitted it; fit the run again."
        )
    arrays, _ = read_arrays(path)
    nested = {
        field: {name.removeprefix(f"{field}/"): arrays[name] for name in arrays if name.startswith(f"{field}/")}
        for field in ("values", "spreads", "predicted", "support", "nearest_support", "features")
    }
    features = nested.pop("features") or None
    try:
        return Reference(
            arrays["components"],
            arrays["labels"],
            **nested,
            thumbnails=arrays.get("thumbnails"),
            reconstruction=arrays.get("reconstruction"),
            features=features,
        )
    except KeyError as error:
        raise InputError(f"{path} has no array {error}, so it is not the reference of a run; fit it again.") from error


def read_linear_support(folder: Path) -> KernelExpansion | OneVsOneExpansion:
    """Read the support vectors of a run's linear SVM.

    Raises:
        InputError: the file does not exist or is damaged.
    """
    expansion = store.restore(folder / LINEAR_SUPPORT)
    if not isinstance(expansion, KernelExpansion | OneVsOneExpansion):
        raise InputError(f"{folder / LINEAR_SUPPORT} must hold the expansion of an SVM; fit the run again.")
    return expansion
