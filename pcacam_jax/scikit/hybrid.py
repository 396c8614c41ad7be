"""The head of a user's own dense layers, PCA and SVMs."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.decomposition import PCA

from pcacam_jax.chain import Chain
from pcacam_jax.checks import InputError, check_choice, check_finite
from pcacam_jax.head import HybridHead, dense_stages, spatial_chain
from pcacam_jax.scikit.convert import from_sklearn
from pcacam_jax.scikit.registry import Estimator, check_fitted, steps_of
from pcacam_jax.scikit.svm import svm_classifier
from pcacam_jax.stages.activation import ACTIVATIONS, Elementwise
from pcacam_jax.stages.svm import SVMClassifier
from pcacam_jax.types import Stage


def hybrid_head(
    dense: Sequence[tuple[Any, Any]],
    *,
    maps_shape: tuple[int, int, int],
    pca: Estimator | None = None,
    svms: Mapping[str, Estimator] | None = None,
    at: int = 2,
    activation: str = "relu",
    pool: bool = False,
    class_names: Sequence[str] | None = None,
) -> HybridHead:
    """Return the head that explains a user's own dense layers, PCA and SVMs.

    Args:
        dense: [(kernel (in, out), bias (out,)), ...] first to last, the last layer without activation; the first
            reads the maps flattened row by row, channels last.
        maps_shape: (h, w, K) of the maps at the tap.
        pca: fitted PCA on x_m, the output of layer ``at``; or a Pipeline of transformers that ends in one.
        svms: name -> fitted SVC, or Pipeline ending in one, on PCA features (on x_m when ``pca`` is None).
        at: the paper's m, 1 .. number of layers.
        activation: of every layer but the last, a name in :data:`pcacam_jax.stages.ACTIVATIONS`.
        pool: whether a 2 x 2 max-pool lies between the tap and the first dense layer.
        class_names: names of the CNN's classes in order, used for SVMs too whose classes are those integers.

    The head computes in the dtype of the first kernel.

    Raises:
        InputError: shapes that do not fit together, unfitted or unsupported estimators, numbers that are not finite.
    """
    maps_shape = _checked_maps_shape(maps_shape, pool)
    layers = _checked_layers(dense, maps_shape, pool)
    check_choice("activation", activation, ACTIVATIONS)
    if not isinstance(at, int) or not 1 <= at <= len(layers):
        raise InputError(f"at must be a dense layer, 1 to {len(layers)}; got {at}.")
    if not isinstance(svms := svms or {}, Mapping):
        raise TypeError(f"svms must be a dictionary name -> estimator; got {type(svms).__name__}.")
    width, dtype = layers[at - 1][0].shape[1], layers[0][0].dtype
    pca_stage, read = None, f"the output of dense layer {at}"
    if pca is not None:
        pca_stage = _pca_stage(pca, width, read, dtype)
        width, read = _out_size(pca_stage), "the PCA's output"
    stages, classes = dense_stages(layers, activation), layers[-1][0].shape[1]
    names = _class_names(class_names, classes)
    return HybridHead(
        spatial=spatial_chain(maps_shape, pool=pool),
        dense=Chain(tuple(stages[:at])),
        cnn=Chain(tuple(stages[at:])) if at < len(stages) else Elementwise("identity", classes),
        pca=pca_stage,
        svms={name: _svm_stage(name, svm, width, read, dtype) for name, svm in svms.items()},
        names=(
            ("cnn", names),
            *((("pca", tuple(map(str, range(width)))),) if pca_stage else ()),
            *((name, _label_names(svm, names)) for name, svm in svms.items()),
        ),
    )


def _pca_stage(pca: Estimator, width: int, read: str, dtype: Any) -> Stage:
    _check_features("pca", pca, width, read)
    last = steps_of(pca)[-1]
    if not isinstance(last, PCA):
        raise InputError(f"pca must be a PCA or a Pipeline that ends in one; got {type(last).__name__}.")
    return from_sklearn(pca, dtype=dtype)


def _svm_stage(name: str, svm: Estimator, width: int, read: str, dtype: Any) -> SVMClassifier:
    if not isinstance(name, str) or name in ("cnn", "pca") or ":" in name or not name:
        raise InputError(f"an SVM needs a name of its own without a colon, not 'cnn' or 'pca'; got {name!r}.")
    _check_features(name, svm, width, read)
    return svm_classifier(svm, dtype=dtype)


def _check_features(name: str, estimator: Estimator, expected: int, reads: str) -> None:
    for step in (estimator, *steps_of(estimator)):
        check_fitted(step)
    own = steps_of(estimator)[0].n_features_in_
    if own != expected:
        raise InputError(f"{name} was fitted on {own} features, but {reads} has {expected}; fit it on those.")


def _checked_maps_shape(maps_shape: Sequence[int], pool: bool) -> tuple[int, int, int]:
    smallest = 2 if pool else 1
    try:
        shape = tuple(map(operator.index, maps_shape))
    except TypeError as error:
        raise InputError(f"maps_shape must be three integers (h, w, K); got {maps_shape!r}.") from error
    if len(shape) != 3 or min(shape[:2]) < smallest or shape[2] < 1:
        raise InputError(f"maps_shape must be (h, w, K) with h and w at least {smallest}; got {shape}.")
    return shape


def _checked_layers(dense: Sequence, maps_shape: tuple[int, int, int], pool: bool) -> list[tuple[jax.Array, jax.Array]]:
    if not dense:
        raise InputError("dense must hold at least one (kernel, bias) pair; got none.")
    height, width, channels = maps_shape
    size = (height // 2) * (width // 2) * channels if pool else height * width * channels
    layers, reads = [], f"maps of shape {maps_shape}" + (" after a 2 x 2 max-pool" if pool else "")
    for n, layer in enumerate(dense, start=1):
        if len(layer) != 2 or layer[1] is None:
            raise InputError(f"dense layer {n} must be a pair (kernel, bias); a layer without bias takes zeros.")
        kernel, bias = layer
        check_finite(f"the kernel of dense layer {n}", kernel)
        check_finite(f"the bias of dense layer {n}", bias)
        dtype = layers[0][0].dtype if layers else _floating(kernel)
        kernel, bias = jnp.asarray(kernel, dtype), jnp.asarray(bias, dtype)
        if kernel.ndim != 2 or kernel.shape[0] != size or bias.shape != kernel.shape[1:]:
            raise InputError(
                f"dense layer {n} reads {reads}, so its kernel must have shape ({size}, out) and its bias (out,); "
                f"got {kernel.shape} and {bias.shape}."
            )
        layers.append((kernel, bias))
        size, reads = kernel.shape[1], f"the {kernel.shape[1]} outputs of layer {n}"
    return layers


def _floating(values: Any) -> jnp.dtype:
    dtype = jnp.asarray(values).dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        return jax.dtypes.canonicalize_dtype(float)
    # Half precision is for networks: a PCA or an SVM in it loses one digit in ten.
    return jnp.promote_types(dtype, jnp.float32)


def _out_size(stage: Stage) -> int:
    return jax.eval_shape(stage, jax.ShapeDtypeStruct(stage.in_shape, jax.tree.leaves(stage)[0].dtype)).shape[0]


def _class_names(names: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    if names is None:
        return tuple(map(str, range(classes)))
    if isinstance(names, str):
        raise InputError(f"class_names must be a list of names; got the string {names!r}.")
    names = tuple(map(str, names))
    if len(names) != classes or len(set(names)) != classes:
        raise InputError(f"class_names must be {classes} different names, one a class of the last layer; got {names}.")
    return names


def _label_names(estimator: Estimator, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of an SVM's classes: the CNN's where its labels are integers in their range, else the labels."""
    labels = estimator.classes_
    if np.issubdtype(labels.dtype, np.integer) and labels.min() >= 0 and labels.max() < len(names):
        return tuple(names[label] for label in labels)
    return tuple(map(str, labels))
