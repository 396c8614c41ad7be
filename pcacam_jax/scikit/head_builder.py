"""Construction of a head from dense layers and fitted scikit-learn estimators."""

import itertools
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pcacam_jax.core.arrays import real_array
from pcacam_jax.core.checks import InputError, check_choice
from pcacam_jax.core.types import Stage
from pcacam_jax.head.axis_order import warn_about_axis_order
from pcacam_jax.head.hybrid import POOLS, HybridHead, dense_stages, spatial_chain, split_dense
from pcacam_jax.scikit.class_scores import scores_from_sklearn
from pcacam_jax.scikit.conversion import from_sklearn, outputs_of
from pcacam_jax.scikit.registry import Estimator, as_dtype, out_size
from pcacam_jax.stages.activation import check_activation
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
    flattened: str = "channels_last",
    before_activation: bool = False,
    class_names: Sequence[str] | None = None,
    output: str | Mapping[str, str] | None = None,
) -> HybridHead:
    """Build a head from the dense layers of a network and from a PCA and SVMs fitted on its features (Eq. 3, 5, 6).

    The head computes in the dtype of the first kernel, but at least in float32, and without dense layers in the widest
    dtype that JAX is set to.

    Args:
        dense: dense layers ``[(kernel, bias), ...]`` of shapes ``(in, out)`` and ``(out,)``, from first to last. The
            last one has no activation. The first one reads the maps flattened as ``flattened`` says, or their means
            if ``pool`` is ``"average"``. With ``[]`` the PCA and the SVMs read this vector, and there is no
            output ``"cnn"``.
        maps_shape: ``(h, w, K)``, the shape of the feature maps of one image.
        pca: a PCA, another transformer or a Pipeline of transformers, fitted on ``x_m``, the output of layer ``at``.
        svms: name -> classifier, regressor or outlier detector, or a Pipeline that ends in one, fitted on the output
            of ``pca``, or on ``x_m`` without ``pca``.
        at: the paper's m, the number of the dense layer whose output is ``x_m``, from 1.
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

    Returns:
        The head, with the outputs ``"cnn"``, ``"pca"`` and one per name in ``svms``.

    Warns if maps of this shape look as if their channels came first.

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
    maps_shape = _checked_maps_shape(maps_shape, pool)
    layers = _checked_layers(dense, maps_shape, pool)
    check_activation(activation)
    if not isinstance(svms := svms or {}, Mapping):
        raise TypeError(f"svms must be a dictionary name -> estimator; got {type(svms).__name__}.")
    trunk = _trunk(layers, at, activation, _vector_size(maps_shape, pool), before_activation)
    names = _class_names(class_names, layers[-1][0].shape[1] if layers else None)
    width, source, pca_stage = trunk.width, trunk.source, None
    if pca is not None:
        pca_stage = from_sklearn(pca, output="transform", dtype=trunk.dtype)
        _check_features("pca", pca_stage, width, source)
        width, source = out_size(pca_stage), "the output of pca"
        if not width:
            raise InputError("pca must have at least one component; got none, so fit it with more or leave it out.")
    if not layers and pca is None and not svms:
        raise InputError("dense, pca and svms are all empty, so there is nothing to explain; give at least one.")
    scores = {
        name: _scores(name, svm, width, source, trunk.dtype, _output_of(name, output, svms))
        for name, svm in svms.items()
    }
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
    )
    warn_about_axis_order(head)
    return head


class _Trunk(NamedTuple):
    dense: Chain
    cnn: Stage | None
    width: int
    """The size of x_m."""
    source: str
    """What x_m is, in words for error messages."""
    dtype: Any


def _trunk(layers: Layers, at: int, activation: str, size: int, before_activation: bool) -> _Trunk:
    """Split the dense layers after layer ``at``."""
    if not isinstance(before_activation, bool):
        raise TypeError(f"before_activation must be True or False; got {before_activation!r}.")
    if before_activation and not layers:
        raise InputError("before_activation needs dense layers, whose activation it means; got none, so leave it out.")
    if not layers:
        return _Trunk(Chain(()), None, size, "the maps as one vector", None)
    at = _checked_layer(at, len(layers))
    dense, cnn = split_dense(dense_stages(layers, activation), at, before_activation=before_activation)
    kernel = layers[at - 1][0]
    return _Trunk(dense, cnn, kernel.shape[1], f"the output of dense layer {at}", kernel.dtype)


def _checked_layer(at: Any, layers: int) -> int:
    try:
        number = 0 if isinstance(at, bool) else operator.index(at)
    except TypeError:
        number = 0
    if not 1 <= number <= layers:
        raise InputError(f"at must be the number of a dense layer, 1 to {layers}; got {at}.")
    return number


def _output_of(name: str, output: Any, svms: Mapping[str, Estimator]) -> str | None:
    if not isinstance(output, Mapping):
        return output
    for key in output:
        check_choice("a name in output", key, svms)
    return output.get(name)


def _scores(name: str, svm: Estimator, width: int, source: str, dtype: Any, output: str | None) -> tuple[Stage, str]:
    """Return the stage of one of ``svms`` and the space of its scores."""
    if not isinstance(name, str) or name in ("cnn", "pca") or ":" in name or not name:
        raise InputError(
            f"the name of an SVM must be a string without a colon, not empty, 'cnn' or 'pca'; got {name!r}."
        )
    stage = scores_from_sklearn(svm, output=output, dtype=dtype)
    _check_features(name, stage, width, source)
    return stage, "margin" if isinstance(stage, SVMClassifier) else output or outputs_of(svm)[0]


def _entries(estimator: Estimator, stage: Stage, space: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of a stage's values: class names, pairs of class names, or indices."""
    size = out_size(stage)
    if hasattr(stage, "predict"):
        return _label_names(estimator, names)
    if space in ("pairs", "decision") and size > 1 and hasattr(estimator, "classes_"):
        return tuple(f"{first}/{second}" for first, second in itertools.combinations(_label_names(estimator, names), 2))
    return tuple(map(str, range(size)))


def _check_features(name: str, stage: Stage, expected: int, source: str) -> None:
    (size,) = stage.in_shape
    if size != expected:
        raise InputError(
            f"{name} was fitted on {size} features, but {source} has {expected}; fit it on these {expected} features."
        )


def _checked_maps_shape(maps_shape: Sequence[int], pool: bool | str) -> tuple[int, int, int]:
    if not isinstance(pool, bool | str) or pool not in POOLS:
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
    """Return the size of x_0."""
    height, width, channels = maps_shape
    if pool == "average":
        return channels
    return (height // 2) * (width // 2) * channels if pool else height * width * channels


def _checked_layers(dense: Sequence, maps_shape: tuple[int, int, int], pool: bool | str) -> Layers:
    pooling = {False: "", True: " after a 2 x 2 max-pool", "average": " averaged over their positions"}[pool]
    layers, source, size = [], f"maps of shape {maps_shape}{pooling}", _vector_size(maps_shape, pool)
    if not isinstance(dense, Iterable):
        raise InputError(
            f"dense must be a list of pairs (kernel, bias); got {type(dense).__name__}, so pass [] for no layers."
        )
    for n, layer in enumerate(dense, start=1):
        if not isinstance(layer, tuple | list) or len(layer) != 2 or layer[1] is None:
            raise InputError(f"dense layer {n} must be a pair (kernel, bias); pass zeros for a layer without bias.")
        kernel = real_array(f"the kernel of dense layer {n}", layer[0])
        bias = real_array(f"the bias of dense layer {n}", layer[1])
        dtype = layers[0][0].dtype if layers else _floating_dtype(kernel)
        kernel, bias = as_dtype(f"the numbers of dense layer {n}", (kernel, bias), dtype)
        if kernel.ndim != 2 or kernel.shape[0] != size or bias.shape != kernel.shape[1:]:
            raise InputError(
                f"dense layer {n} reads {source}, so its kernel must have shape ({size}, out) and its bias (out,); "
                f"got {kernel.shape} and {bias.shape}."
            )
        layers.append((kernel, bias))
        size, source = kernel.shape[1], f"the {kernel.shape[1]} outputs of layer {n}"
    return layers


def _floating_dtype(values: Any) -> jnp.dtype:
    dtype = jnp.asarray(values).dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        return jax.dtypes.canonicalize_dtype(float)
    # Half precision may suffice for a network, but a PCA or an SVM loses too many digits in it.
    return jnp.promote_types(dtype, jnp.float32)


def _class_names(names: Sequence[str] | None, classes: int | None) -> tuple[str, ...]:
    """Return the class names, checked against the number of classes; None allows any number of names."""
    if names is None:
        return tuple(map(str, range(classes or 0)))
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InputError(f"class_names must be a list of names; got {type(names).__name__} {names!r}.")
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
