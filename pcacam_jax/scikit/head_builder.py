"""The head of a user's own dense layers, reducer and classifiers."""

import itertools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.core.checks import InputError, check_choice, check_finite
from pcacam_jax.core.text import plain
from pcacam_jax.core.types import Stage
from pcacam_jax.head.hybrid import POOLS, HybridHead, dense_stages, spatial_chain
from pcacam_jax.scikit.class_scores import scores_from_sklearn
from pcacam_jax.scikit.conversion import from_sklearn, outputs_of
from pcacam_jax.scikit.registry import Estimator, as_dtype, out_size
from pcacam_jax.stages.activation import ACTIVATIONS, Elementwise
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.svm import SVMClassifier

Layers = list[tuple[jax.Array, jax.Array]]


def hybrid_head(
    dense: Sequence[tuple[Any, Any]],
    *,
    maps_shape: tuple[int, int, int],
    pca: Estimator | None = None,
    svms: Mapping[str, Estimator] | None = None,
    at: int = 2,
    activation: str = "relu",
    pool: bool | str = False,
    class_names: Sequence[str] | None = None,
    output: str | Mapping[str, str] | None = None,
) -> HybridHead:
    """Return the head that explains a user's own dense layers, PCA and SVMs.

    Args:
        dense: [(kernel (in, out), bias (out,)), ...] first to last, the last layer without activation; the first
            reads the maps flattened row by row, channels last (their averages where ``pool`` is "average"). With none,
            ``pca`` and ``svms`` read that vector themselves, and there is no output "cnn".
        maps_shape: (h, w, K) of the maps at the tap.
        pca: fitted PCA on x_m, the output of layer ``at``; or any other transformer, or a Pipeline of them.
        svms: name -> fitted classifier, regressor or outlier detector, or a Pipeline that ends in one, on PCA features
            (on x_m when ``pca`` is None).
        at: the paper's m, 1 .. number of layers.
        activation: of every layer but the last, a name in :data:`pcacam_jax.stages.ACTIVATIONS`.
        pool: what lies between the tap and x_0: False, nothing; True, a 2 x 2 max-pool; "average", the mean over all
            positions (global average pooling).
        class_names: names of the CNN's classes in order, used for classifiers too whose classes are those integers;
            without dense layers, of those classifiers alone.
        output: the score space of every one of ``svms``, or a dictionary name -> space, as in :func:`from_sklearn`. By
            default margins for an SVC, ``decision_function`` for other classifiers that have one, else log-probability,
            and ``predict`` for regressors.

    The head computes in the dtype of the first kernel; without one, in the widest dtype that JAX is set to.

    Raises:
        InputError: shapes that do not fit together, unfitted or unsupported estimators, numbers that are not finite.
    """
    maps_shape = _checked_maps_shape(maps_shape, pool)
    layers = _checked_layers(dense, maps_shape, pool)
    check_choice("activation", activation, ACTIVATIONS)
    if not isinstance(svms := svms or {}, Mapping):
        raise TypeError(f"svms must be a dictionary name -> estimator; got {type(svms).__name__}.")
    trunk = _trunk(layers, at, activation, _vector_size(maps_shape, pool))
    names = _class_names(class_names, layers[-1][0].shape[1] if layers else None)
    width, read, pca_stage = trunk.width, trunk.read, None
    if pca is not None:
        pca_stage = from_sklearn(pca, output="transform", dtype=trunk.dtype)
        _check_features("pca", pca_stage, width, read)
        width, read = out_size(pca_stage), "the PCA's output"
        if not width:
            raise InputError("pca must give at least one component; got none, so fit it with some, or leave it out.")
    if not layers and pca is None and not svms:
        raise InputError("dense, pca and svms are all empty, so there is nothing to explain; give at least one.")
    scores = {
        name: _scores(name, svm, width, read, trunk.dtype, _output_of(name, output, svms)) for name, svm in svms.items()
    }
    if names and not layers and not any(_share_classes(svm, names) for svm in svms.values()):
        raise InputError(
            f"class_names are {len(names)} names, but without dense layers they name nothing: none of svms is a "
            f"classifier whose classes are integers from 0 to {len(names) - 1}; leave class_names out."
        )
    return HybridHead(
        spatial=spatial_chain(maps_shape, pool=pool),
        dense=trunk.dense,
        cnn=trunk.cnn,
        pca=pca_stage,
        svms={name: stage for name, (stage, _) in scores.items()},
        names=(
            *((("cnn", names),) if layers else ()),
            *((("pca", tuple(map(str, range(width)))),) if pca_stage else ()),
            *((name, _entries(svms[name], stage, space, names)) for name, (stage, space) in scores.items()),
        ),
        spaces=tuple((name, space) for name, (_, space) in scores.items() if space != "margin"),
    )


class _Trunk(NamedTuple):
    dense: Chain
    cnn: Stage | None
    width: int
    read: str
    dtype: Any


def _trunk(layers: Layers, at: int, activation: str, size: int) -> _Trunk:
    """Return the dense layers divided at layer ``at``, and what x_m is."""
    if not layers:
        return _Trunk(Chain(()), None, size, "the maps as one vector", None)
    at = _checked_layer(at, len(layers))
    stages, classes = dense_stages(layers, activation), layers[-1][0].shape[1]
    cnn = Chain(tuple(stages[at:])) if at < len(stages) else Elementwise("identity", classes)
    kernel = layers[at - 1][0]
    return _Trunk(Chain(tuple(stages[:at])), cnn, kernel.shape[1], f"the output of dense layer {at}", kernel.dtype)


def _checked_layer(at: Any, layers: int) -> int:
    try:
        number = 0 if isinstance(at, bool) else operator.index(at)
    except TypeError:
        number = 0
    if not 1 <= number <= layers:
        raise InputError(f"at must be a dense layer, 1 to {layers}; got {at}.")
    return number


def _output_of(name: str, output: Any, svms: Mapping[str, Estimator]) -> str | None:
    if not isinstance(output, Mapping):
        return output
    for other in output:
        check_choice("a name in output", other, svms)
    return output.get(name)


def _scores(name: str, svm: Estimator, width: int, read: str, dtype: Any, output: str | None) -> tuple[Stage, str]:
    """Return the stage of one of ``svms`` and the space of its scores."""
    if not isinstance(name, str) or name in ("cnn", "pca") or ":" in name or not name:
        raise InputError(f"an SVM needs a name of its own without a colon, not 'cnn' or 'pca'; got {name!r}.")
    stage = scores_from_sklearn(svm, output=output, dtype=dtype)
    _check_features(name, stage, width, read)
    return stage, "margin" if isinstance(stage, SVMClassifier) else output or outputs_of(svm)[0]


def _entries(estimator: Estimator, stage: Stage, space: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a stage's values: classes, pairs of classes, or numbers."""
    size = out_size(stage)
    if hasattr(stage, "predict"):
        return _label_names(estimator, names)
    if space in ("pairs", "decision") and size > 1 and hasattr(estimator, "classes_"):
        return tuple(f"{first}/{second}" for first, second in itertools.combinations(_label_names(estimator, names), 2))
    return tuple(map(str, range(size)))


def _check_features(name: str, stage: Stage, expected: int, reads: str) -> None:
    (own,) = stage.in_shape
    if own != expected:
        raise InputError(f"{name} was fitted on {own} features, but {reads} has {expected}; fit it on those.")


def _checked_maps_shape(maps_shape: Sequence[int], pool: bool | str) -> tuple[int, int, int]:
    if pool not in POOLS:
        raise InputError(f"pool must be False, True (2 x 2 max-pool) or 'average'; got {pool!r}.")
    smallest = 2 if pool is True else 1
    try:
        shape = tuple(map(operator.index, maps_shape))
    except TypeError as error:
        raise InputError(f"maps_shape must be three integers (h, w, K); got {maps_shape!r}.") from error
    if len(shape) != 3 or min(shape[:2]) < smallest or shape[2] < 1:
        raise InputError(f"maps_shape must be (h, w, K) with h and w at least {smallest}; got {shape}.")
    return shape


def _vector_size(maps_shape: tuple[int, int, int], pool: bool | str) -> int:
    """The size of x_0."""
    height, width, channels = maps_shape
    if pool == "average":
        return channels
    return (height // 2) * (width // 2) * channels if pool else height * width * channels


def _checked_layers(dense: Sequence, maps_shape: tuple[int, int, int], pool: bool | str) -> Layers:
    between = {False: "", True: " after a 2 x 2 max-pool", "average": " averaged over their positions"}[pool]
    layers, reads, size = [], f"maps of shape {maps_shape}{between}", _vector_size(maps_shape, pool)
    if not isinstance(dense, Iterable):
        raise InputError(f"dense must be a list of pairs (kernel, bias); got {type(dense).__name__}; give [] for none.")
    for n, layer in enumerate(dense, start=1):
        if not isinstance(layer, tuple | list) or len(layer) != 2 or layer[1] is None:
            raise InputError(f"dense layer {n} must be a pair (kernel, bias); a layer without bias takes zeros.")
        kernel = _numbers(f"the kernel of dense layer {n}", layer[0])
        bias = _numbers(f"the bias of dense layer {n}", layer[1])
        dtype = layers[0][0].dtype if layers else _floating(kernel)
        kernel, bias = as_dtype(f"the numbers of dense layer {n}", (kernel, bias), dtype)
        if kernel.ndim != 2 or kernel.shape[0] != size or bias.shape != kernel.shape[1:]:
            raise InputError(
                f"dense layer {n} reads {reads}, so its kernel must have shape ({size}, out) and its bias (out,); "
                f"got {kernel.shape} and {bias.shape}."
            )
        layers.append((kernel, bias))
        size, reads = kernel.shape[1], f"the {kernel.shape[1]} outputs of layer {n}"
    return layers


def _numbers(name: str, values: Any) -> Any:
    """Return an array as it came, or what NumPy reads as one, of finite real numbers."""
    try:
        array = values if isinstance(values, jax.Array) else np.asarray(values)
        real = jnp.issubdtype(array.dtype, jnp.number) and not jnp.issubdtype(array.dtype, jnp.complexfloating)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{name} cannot be read as an array ({plain(error)}); give an array of real numbers."
        ) from error
    if not real:
        raise InputError(f"{name} must be an array of real numbers; got {type(values).__name__} of {array.dtype}.")
    check_finite(name, array)
    return array


def _floating(values: Any) -> jnp.dtype:
    dtype = jnp.asarray(values).dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        return jax.dtypes.canonicalize_dtype(float)
    # Half precision is for networks: a PCA or an SVM in it loses one digit in ten.
    return jnp.promote_types(dtype, jnp.float32)


def _class_names(names: Sequence[str] | None, classes: int | None) -> tuple[str, ...]:
    """The names of the last layer's classes, as many as are given where there is no layer."""
    if names is None:
        return tuple(map(str, range(classes or 0)))
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InputError(f"class_names must be a list of names; got {type(names).__name__} {names!r}.")
    names = tuple(map(str, names))
    classes = len(names) if classes is None else classes
    if len(names) != classes or len(set(names)) != classes:
        raise InputError(f"class_names must be {classes} different names, one a class; got {names}.")
    return names


def _label_names(estimator: Estimator, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of an SVM's classes: the CNN's where its labels are integers in their range, else the labels."""
    if _share_classes(estimator, names):
        return tuple(names[label] for label in estimator.classes_)
    return tuple(map(str, estimator.classes_))


def _share_classes(estimator: Estimator, names: tuple[str, ...]) -> bool:
    labels = np.asarray(getattr(estimator, "classes_", ()))
    whole = np.issubdtype(labels.dtype, np.integer)
    return bool(whole and labels.min() >= 0 and labels.max() < len(names))
