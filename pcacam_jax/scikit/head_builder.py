"""Construction of a head from dense layers and fitted scikit-learn estimators."""

import itertools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pcacam_jax.core.checks import InputError, check_choice, check_device, check_flag
from pcacam_jax.core.text import shown
from pcacam_jax.core.types import Stage
from pcacam_jax.head.axis_order import warn_about_axis_order
from pcacam_jax.head.hybrid import HybridHead, dense_stages, spatial_chain, split_dense
from pcacam_jax.scikit.class_scores import class_scores, default_scores
from pcacam_jax.scikit.conversion import converted
from pcacam_jax.scikit.dense_layers import (
    Layers,
    checked_at,
    checked_layers,
    checked_maps_shape,
    checked_pool,
    vector_size,
)
from pcacam_jax.scikit.head_precision import precision_warnings
from pcacam_jax.scikit.precision import PrecisionWarning
from pcacam_jax.scikit.reducing_pipelines import shares_of, split_reducer
from pcacam_jax.scikit.registry import check_output, out_size
from pcacam_jax.scikit.steps import Estimator
from pcacam_jax.stages.activation import check_activation
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.svm import SVMClassifier


def hybrid_head(
    dense: Sequence[tuple[Any, Any]],
    *,
    maps_shape: tuple[int, ...],
    pca: Estimator | None = None,
    svms: Mapping[str, Estimator] | None = None,
    at: int | None = None,
    activation: str = "relu",
    pool: bool | str = False,
    flattened: str = "channels_last",
    before_activation: bool = False,
    class_names: Sequence[str] | None = None,
    output: str | Mapping[str, str] | None = None,
    columns: int | None = None,
) -> HybridHead:
    """Build a head from the dense layers of a network and from a PCA and SVMs fitted on its features (Eq. 3, 5, 6).

    The head computes in the dtype of the first kernel, but at least in float32, and without dense layers in the widest
    dtype that JAX is set to.

    Args:
        dense: dense layers ``[(kernel, bias), ...]`` of shapes ``(in, out)`` and ``(out,)``, from first to last. The
            last one has no activation. The first one reads the maps flattened as ``flattened`` says, or their means
            if ``pool`` is ``"average"``. With ``[]`` the PCA and the SVMs read this vector, and there is no
            output ``"cnn"``.
        maps_shape: ``(h, w, K)``, the shape of the feature maps of one image; ``(length, K)`` for signals and
            ``(depth, h, w, K)`` for volumes.
        pca: a PCA, another transformer or a Pipeline of transformers, fitted on ``x_m``, the output of layer ``at``.
        svms: name -> classifier, regressor or outlier detector, or a Pipeline that ends in one, fitted on the output
            of ``pca``, or on ``x_m`` without ``pca``. Without ``pca``, the steps of a Pipeline up to its last reducer,
            such as a PCA, become the output ``"pca"``, if it is the only one of ``svms`` or all of them are Pipelines
            with the same fitted objects up to there. They may read c further columns behind the components, such as
            clinical values; :func:`explain` then needs ``columns=``, their values for each example.
        at: the paper's m, the number of the dense layer whose output is ``x_m``, from 1, or 0 if ``x_m`` is the vector
            that the first dense layer reads: the flattened or averaged maps. The default is 2, and 0 if there is a
            single dense layer.
        activation: the activation of all dense layers but the last, a name as in :class:`Elementwise`, such as
            ``"relu"``, ``"gelu"`` (exact), ``"gelu_tanh"``, ``"silu"`` or ``"leaky_relu:0.2"``.
        pool: the pooling between the maps and the first dense layer: False for none, True for a 2 x 2 max-pool,
            ``"average"`` for the mean over all positions (global average pooling).
        flattened: the order in which the first kernel, or without dense layers the PCA and the SVMs, read the maps:
            ``"channels_last"`` (row by row, all channels of a position together) or ``"channels_first"`` (channel by
            channel, as ``torch.flatten`` gives them). The maps themselves always have their channels last. A kernel
            that :func:`dense_from_torch` converted with ``maps_shape`` is channels last already.
        before_activation: whether ``x_m`` is the input of layer ``at``'s activation, not its output. This is right for
            estimators fitted on what a linear layer gives, such as a hook on ``nn.Linear`` in PyTorch. The logits
            still pass through the activation.
        class_names: the names of the network's classes, in order. They are also used for classifiers whose classes are
            integers in the range of these names.
        output: the output of all ``svms``, or a dictionary name -> output, as in :func:`from_sklearn`. The default is
            ``"margin"`` for an SVC or NuSVC, and the first of :func:`outputs_of` for other estimators.
        columns: the number of further columns that SVMs may read behind the components. The default follows from the
            SVMs; but one of as many features as ``x_m`` has is taken for one that was fitted before the PCA.

    Returns:
        The head, with the outputs ``"cnn"``, ``"pca"`` and one per name in ``svms``.

    Warns:
        UserWarning: maps of this shape look as if their channels came first.
        PrecisionWarning: the head computes in float32, and at examples that an estimator stores, or at points drawn
            from its fitted statistics, its values differ from scikit-learn's by more than 0.035 % of
            their size, or 0.001 % where a predicted class differs.

    Raises:
        InputError: if shapes do not fit together, if an estimator is not fitted or not supported, or if numbers are
            not finite.
        TypeError: if ``svms`` is not a dictionary.

    Example:
        >>> import numpy as np
        >>> from pcacam_jax import hybrid_head
        >>> from sklearn.decomposition import PCA
        >>> dense = [(np.ones((8, 3)), np.zeros(3)), (np.ones((3, 2)), np.zeros(2))]
        >>> pca = PCA(2).fit(np.random.default_rng(0).normal(size=(20, 3)))
        >>> head = hybrid_head(dense, maps_shape=(2, 2, 2), pca=pca, at=1, class_names=["cat", "dog"])
        >>> head.outputs
        {'cnn': ('cat', 'dog'), 'pca': ('0', '1')}
    """
    check_device()
    pool = checked_pool(pool)
    maps_shape = checked_maps_shape(maps_shape, pool)
    layers = checked_layers(dense, maps_shape, pool)
    check_activation(activation)
    svms = {} if svms is None else svms
    if not isinstance(svms, Mapping):
        raise TypeError(f"svms must be a dictionary name -> estimator; got {type(svms).__name__}.")
    trunk = _trunk(layers, at, activation, vector_size(maps_shape, pool), before_activation)
    names = _class_names(class_names, layers[-1][0].shape[1] if layers else None)
    if pca is None:
        pca, svms = split_reducer(svms)
    pca_stage = None if pca is None else _reducer(pca, trunk)
    if not layers and pca is None and not svms:
        raise InputError("dense, pca and svms are all empty, so there is nothing to explain; give at least one.")
    width, source = (trunk.width, trunk.source) if pca_stage is None else (out_size(pca_stage), "the output of pca")
    scores = {name: _scores(name, svm, trunk.dtype, _output_of(name, output, svms)) for name, svm in svms.items()}
    sizes = {name: stage.in_shape[0] for name, (stage, _) in scores.items()}
    further = _further_columns(sizes, width, source, columns, (trunk.width, vector_size(maps_shape, pool)))
    if names and not layers and not any(_share_classes(svm, names) for svm in svms.values()):
        raise InputError(
            f"class_names has {len(names)} names, but there are no dense layers and none of svms is a classifier whose "
            f"classes are integers from 0 to {len(names) - 1}; leave class_names out."
        )
    head = HybridHead(
        spatial=spatial_chain(maps_shape, pool=pool, flattened=flattened),
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
        shares=shares_of(pca, trunk.dtype),
        columns=further,
    )
    warn_about_axis_order(head)
    for message in precision_warnings(head, pca, svms):
        warnings.warn(message, PrecisionWarning, stacklevel=2)
    return head


class _Trunk(NamedTuple):
    dense: Chain
    cnn: Stage | None
    width: int
    """The size of x_m."""
    source: str
    """What x_m is, in words for error messages."""
    dtype: Any


def _trunk(layers: Layers, at: int | None, activation: str, size: int, before_activation: bool) -> _Trunk:
    """Split the dense layers after layer ``at``."""
    if check_flag("before_activation", before_activation) and not layers:
        raise InputError("before_activation needs dense layers, whose activation it means; got none, so leave it out.")
    vector = "the maps as one vector"
    if not layers:
        return _Trunk(Chain(()), None, size, vector, None)
    at, dtype = checked_at(at, len(layers)), layers[0][0].dtype
    if before_activation and not at:
        raise InputError("before_activation needs the number of a dense layer in at; got 0, so leave it out.")
    dense, cnn = split_dense(dense_stages(layers, activation), at, before_activation=before_activation)
    if not at:
        return _Trunk(dense, cnn, size, vector, dtype)
    return _Trunk(dense, cnn, layers[at - 1][0].shape[1], f"the output of dense layer {at}", dtype)


def _reducer(pca: Estimator, trunk: _Trunk) -> Stage:
    stage = converted(pca, "transform", trunk.dtype)
    _check_features("pca", stage.in_shape[0], trunk.width, trunk.source)
    if not out_size(stage):
        raise InputError("pca must have at least one component; got none, so fit it with more or leave it out.")
    return stage


def _output_of(name: str, output: Any, svms: Mapping[str, Estimator]) -> str | None:
    if not isinstance(output, Mapping):
        check_output(output)
        return output
    for key in output:
        check_choice("a name in output", key, svms)
    return output.get(name)


def _scores(name: str, svm: Estimator, dtype: Any, output: str | None) -> tuple[Stage, str]:
    """Return the stage of one of ``svms`` and the space of its scores."""
    if not isinstance(name, str) or name in ("cnn", "pca") or ":" in name or not name:
        raise InputError(
            f"the name of an SVM must be a string without a colon, not empty, 'cnn' or 'pca'; got {name!r}."
        )
    stage = class_scores(svm, output, dtype)
    return stage, "margin" if isinstance(stage, SVMClassifier) else output or default_scores(svm)


def _further_columns(sizes: Mapping[str, int], width: int, source: str, columns: Any, before: tuple[int, ...]) -> int:
    """Return the number of columns that SVMs read behind the ``width`` components; 0 if they read none.

    Args:
        sizes: the number of features of each SVM.
        width: the number of components.
        source: what the components are, in words.
        columns: the number of columns that is expected; None if it follows from ``sizes``.
        before: the sizes of the vectors before the reducer, for which an SVM may have been fitted by mistake.
    """
    is_whole = isinstance(columns, int | np.integer) and not isinstance(columns, bool)
    if columns is not None and (not is_whole or columns < 0):
        raise InputError(f"columns must be a number of further columns, or None; got {shown(columns)}.")
    for name, size in sizes.items():
        if size < width or (size > width and (size in before if columns is None else size != width + columns)):
            _check_features(name, size, width, source, hint=columns is None and size > width)
    further = {name: size - width for name, size in sizes.items() if size > width}
    if len(set(further.values())) > 1:
        numbers = ", ".join(f"{name} {count}" for name, count in further.items())
        raise InputError(
            f"all SVMs that read further columns behind the {width} components must read the same ones; got {numbers}; "
            f"build one head for each."
        )
    return max(further.values(), default=0)


def _entries(estimator: Estimator, stage: Stage, space: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of a stage's values: class names, pairs of class names, or indices."""
    size = out_size(stage)
    if hasattr(stage, "predict"):
        return _label_names(estimator, names)
    if space in ("pairs", "decision") and size > 1 and hasattr(estimator, "classes_"):
        return tuple(f"{first}/{second}" for first, second in itertools.combinations(_label_names(estimator, names), 2))
    return tuple(map(str, range(size)))


def _check_features(name: str, size: int, expected: int, source: str, *, hint: bool = False) -> None:
    if size != expected:
        further = f", or say columns={size - expected} if the last ones are further columns" if hint else ""
        raise InputError(
            f"{name} was fitted on {size} features, but {source} has {expected}; fit it on these {expected} features"
            f"{further}."
        )


def _class_names(names: Sequence[str] | None, classes: int | None) -> tuple[str, ...]:
    """Return the class names, checked against the number of classes; None allows any number of names."""
    if names is None:
        return tuple(map(str, range(classes or 0)))
    if isinstance(names, str | bytes) or not isinstance(names, Iterable) or getattr(names, "ndim", 1) == 0:
        raise InputError(f"class_names must be a list of names; got {type(names).__name__} {shown(names)}.")
    names = tuple(map(str, names))
    classes = len(names) if classes is None else classes
    if len(names) != classes or len(set(names)) != classes:
        raise InputError(f"class_names must be {classes} different names, one per class; got {names}.")
    return names


def _label_names(estimator: Estimator, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the class names of a classifier: entries of ``names`` if its labels index them, else its labels."""
    if _share_classes(estimator, names):
        return tuple(names[label] for label in estimator.classes_)
    return tuple(map(str, estimator.classes_))


def _share_classes(estimator: Estimator, names: tuple[str, ...]) -> bool:
    """Whether the labels of an estimator are integers that index ``names``."""
    labels = np.asarray(getattr(estimator, "classes_", ()))
    integers = np.issubdtype(labels.dtype, np.integer)
    return bool(integers and labels.min() >= 0 and labels.max() < len(names))
