"""The scikit-learn door: fitted estimators and pipelines become stages, from their public fitted attributes."""

import copy
import itertools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from pcacam_jax.chain import Chain
from pcacam_jax.checks import InputError, check_choice, check_finite
from pcacam_jax.head import HybridHead, dense_stages, spatial_chain
from pcacam_jax.stages.activation import ACTIVATIONS, Elementwise
from pcacam_jax.stages.affine import Affine, Scaling
from pcacam_jax.stages.kernel import KERNELS
from pcacam_jax.stages.svm import KernelExpansion, OvrDecision, PairwiseMargins, SVMClassifier
from pcacam_jax.types import Stage

Estimator = Any
"""A scikit-learn object; its fitted attributes are not part of its static type."""


def from_sklearn(estimator: Estimator, *, output: str | None = None, dtype: Any = None) -> Stage:
    """Return the stage of a fitted estimator or pipeline: stage(x): (d,) -> (out,) for one example.

    Args:
        estimator: fitted PCA, StandardScaler, SVC with a linear or RBF kernel, or a Pipeline of these.
        output: what the stage equals: ``"transform"`` for a transformer; for an SVC ``"decision"`` (its own
            ``decision_function``, the default; one value with two classes), ``"pairs"`` (a value per pair of classes
            i < j, positive for i) or ``"margin"`` (signed sums of pairs, one smooth value a class).
        dtype: dtype of the parameters; by default the widest that JAX is set to.

    Raises:
        InputError: not fitted, not supported, or an output that the estimator does not have.
    """
    stage = _build(estimator, output)
    dtype = jax.dtypes.canonicalize_dtype(float) if dtype is None else dtype
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), stage)


def _build(estimator: Estimator, output: str | None) -> Stage:
    _check_fitted(estimator)
    if type(estimator) not in BUILDERS:
        known = ", ".join(kind.__name__ for kind in BUILDERS)
        raise InputError(
            f"{type(estimator).__name__} is not supported; expected one of {known}. "
            f"Write its stage by hand: any object with the methods of pcacam_jax.Stage will do."
        )
    return BUILDERS[type(estimator)](estimator, output)


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
    stages = dense_stages(layers, activation)
    width, classes = layers[at - 1][0].shape[1], layers[-1][0].shape[1]
    dtype = layers[0][0].dtype
    component_names = ()
    if pca is not None:
        _check_features("pca", pca, width, f"the output of dense layer {at}")
        if not isinstance(_steps(pca)[-1], PCA):
            raise InputError(f"pca must be a PCA or a Pipeline that ends in one; got {type(_steps(pca)[-1]).__name__}.")
        pca_stage = from_sklearn(pca, dtype=dtype)
        width = _out_size(pca_stage)
        component_names = (("pca", tuple(map(str, range(width)))),)
    names = _class_names(class_names, classes)
    if not isinstance(svms := svms or {}, Mapping):
        raise TypeError(f"svms must be a dictionary name -> estimator; got {type(svms).__name__}.")
    machines = {name: _svm_output(name, svm, width, dtype, pca is not None) for name, svm in svms.items()}
    svm_names = tuple((name, _label_names(svm, names)) for name, svm in svms.items())
    return HybridHead(
        spatial=spatial_chain(maps_shape, pool=pool),
        dense=Chain(tuple(stages[:at])),
        cnn=Chain(tuple(stages[at:])) if at < len(stages) else Elementwise("identity", classes),
        pca=None if pca is None else pca_stage,
        svms=machines,
        names=(("cnn", names), *component_names, *svm_names),
    )


def svm_classifier(estimator: Estimator, *, dtype: Any = None) -> SVMClassifier:
    """Return class margins with the estimator's own prediction, from an SVC or a Pipeline that ends in one."""
    svc = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(svc, SVC):
        raise InputError(f"an SVM must be an SVC or a Pipeline that ends in one; got {type(svc).__name__}.")
    pairs = from_sklearn(estimator, output="pairs", dtype=dtype)
    break_ties = bool(svc.break_ties) and svc.decision_function_shape == "ovr"
    return SVMClassifier(pairs, len(svc.classes_), break_ties)


def parity(estimator: Estimator, stage: Stage, examples: np.ndarray) -> float:
    """Return max |stage(x) - scikit-learn's own output| / max |output| over ``examples`` (N, d).

    Compares with ``transform`` where there is one; an :class:`SVMClassifier` through its pair values, and a
    prediction that differs anywhere counts as infinite.
    """
    if isinstance(stage, SVMClassifier):
        svc = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        before = estimator[:-1].transform(examples) if isinstance(estimator, Pipeline) else examples
        own = _mapped(stage.pairs, examples)
        expected = _pair_values(svc, before)
        predicted = svc.classes_[_mapped(stage.predict, examples)]
        decided = np.abs(expected).min(axis=1) > 1e-3 * np.abs(expected).max()
        if (predicted != svc.predict(before))[decided].any():
            return float("inf")
    else:
        own = _mapped(stage, examples)
        expected = estimator.transform(examples)
    return float(np.abs(own - expected).max() / np.abs(expected).max())


def _mapped(function: Callable, examples: np.ndarray) -> np.ndarray:
    """Apply a function of one example to all, a few at a time, so that many support vectors fit into memory."""
    return np.asarray(jax.jit(lambda x: jax.lax.map(function, x, batch_size=16))(jnp.asarray(examples)))


def _pair_values(svc: Estimator, examples: np.ndarray) -> np.ndarray:
    """The value of every machine, by scikit-learn: an "ovo" copy that shares the fitted attributes."""
    of_pairs = copy.copy(svc).set_params(decision_function_shape="ovo")
    return of_pairs.decision_function(examples).reshape(len(examples), -1)


def _pca(estimator: Estimator, output: str | None) -> Affine:
    _check_output(estimator, output, "transform")
    matrix = estimator.components_
    if estimator.whiten:
        # scikit-learn's own floor: a component without variance is not divided by zero.
        deviation = np.sqrt(estimator.explained_variance_)
        matrix = matrix / np.maximum(deviation, np.finfo(deviation.dtype).eps)[:, None]
    return Affine(matrix, estimator.mean_, jnp.zeros(len(matrix)))


def _standard_scaler(estimator: Estimator, output: str | None) -> Scaling:
    _check_output(estimator, output, "transform")
    size = estimator.n_features_in_
    scale = jnp.ones(size) if estimator.scale_ is None else estimator.scale_
    center = jnp.zeros(size) if estimator.mean_ is None or not estimator.with_mean else estimator.mean_
    return Scaling(1 / scale, center)


def _svc(estimator: Estimator, output: str | None) -> Stage:
    _check_output(estimator, output, "decision", "pairs", "margin")
    expansion = _kernel_expansion(estimator)
    classes = len(estimator.classes_)
    if output == "margin":
        return Chain((expansion, PairwiseMargins(classes)))
    if output == "pairs" or classes == 2 or estimator.decision_function_shape == "ovo":
        return expansion
    return Chain((expansion, OvrDecision(classes)))


def _kernel_expansion(estimator: Estimator) -> KernelExpansion:
    if not isinstance(estimator.kernel, str) or estimator.kernel not in KERNELS:
        raise InputError(f"the kernel of an SVC must be one of {', '.join(KERNELS)}; got {estimator.kernel!r}.")
    values = {"gamma": _gamma(estimator)}
    parameters: Any = {name: values[name] for name in KERNELS[estimator.kernel].parameters}
    support = _as_dense(estimator.support_vectors_)
    coefficients = _pair_coefficients(_as_dense(estimator.dual_coef_), estimator.n_support_)
    if estimator.kernel == "linear":
        # sum_i alpha_i t_i s_i cancels most of its digits: it is taken once, here, in float64 (Eq. 25).
        coefficients, support = coefficients @ support, jnp.eye(support.shape[1])
    return KernelExpansion(
        support=support,
        coefficients=coefficients,
        intercept=estimator.intercept_,
        parameters=parameters,
        kernel=estimator.kernel,
    )


def _pair_coefficients(dual: np.ndarray, counts: np.ndarray) -> Any:
    """(P, n) alpha_i t_i from scikit-learn's (C - 1, n): support vectors lie class by class, ``counts`` of each.

    For the pair i < j, those of class i keep theirs in row j - 1 and those of class j in row i.
    """
    if len(dual) == 1:
        return dual
    ends = np.cumsum(counts)
    members = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    pairs = list(itertools.combinations(range(len(counts)), 2))
    coefficients = np.zeros((len(pairs), dual.shape[1]))
    for p, (i, j) in enumerate(pairs):
        coefficients[p, members[i]] = dual[j - 1, members[i]]
        coefficients[p, members[j]] = dual[i, members[j]]
    return coefficients


def _gamma(estimator: Estimator) -> float:
    if estimator.gamma == "auto":
        return 1 / estimator.n_features_in_
    if estimator.gamma == "scale":
        # The one private attribute: 1 / (d Var X) of the training data is kept nowhere else.
        return estimator._gamma
    return estimator.gamma


def _pipeline(estimator: Pipeline, output: str | None) -> Chain:
    steps = _steps(estimator)
    return Chain((*(_build(step, None) for step in steps[:-1]), _build(steps[-1], output)))


def _steps(estimator: Estimator) -> list[Estimator]:
    """Return the steps of a pipeline that do something; any other estimator is its own only step."""
    if not isinstance(estimator, Pipeline):
        return [estimator]
    steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
    if not steps:
        raise InputError("a Pipeline must have at least one step that is not 'passthrough'.")
    return steps


BUILDERS: dict[type, Callable[[Any, str | None], Stage]] = {
    PCA: _pca,
    StandardScaler: _standard_scaler,
    SVC: _svc,
    Pipeline: _pipeline,
}
"""Every supported estimator with the function that builds its stage."""


def _check_fitted(estimator: Estimator) -> None:
    name = type(estimator).__name__
    try:
        check_is_fitted(estimator)
    except NotFittedError as error:
        raise InputError(f"{name} is not fitted; call its fit before the conversion.") from error
    except TypeError as error:
        raise InputError(f"expected a fitted scikit-learn estimator; got {name}.") from error


def _check_output(estimator: Estimator, output: str | None, *choices: str) -> None:
    if output is not None:
        check_choice(f"output of {type(estimator).__name__}", output, choices)


def _check_features(name: str, estimator: Estimator, expected: int, reads: str) -> None:
    for step in (estimator, *_steps(estimator)):
        _check_fitted(step)
    own = _steps(estimator)[0].n_features_in_
    if own != expected:
        raise InputError(f"{name} was fitted on {own} features, but {reads} has {expected}; fit it on those.")


def _svm_output(name: str, svm: Estimator, width: int, dtype: Any, on_components: bool) -> SVMClassifier:
    if not isinstance(name, str) or name in ("cnn", "pca") or ":" in name or not name:
        raise InputError(f"an SVM needs a name of its own without a colon, not 'cnn' or 'pca'; got {name!r}.")
    _check_features(name, svm, width, "the PCA's output" if on_components else "the dense layer it reads")
    return svm_classifier(svm, dtype=dtype)


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


def _as_dense(matrix: Any) -> Any:
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix
