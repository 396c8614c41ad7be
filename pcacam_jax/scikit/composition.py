"""Pipelines, frozen estimators, unions and column transformers."""

import itertools
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline

from pcacam_jax.core.checks import InputError
from pcacam_jax.core.types import Stage
from pcacam_jax.scikit.reducers import register_transformer, scaling
from pcacam_jax.scikit.registry import (
    Entry,
    Estimator,
    Outputs,
    build,
    not_fitted,
    out_size,
    outputs,
    register,
)
from pcacam_jax.scikit.steps import is_identity
from pcacam_jax.stages.activation import Elementwise
from pcacam_jax.stages.chain import Chain
from pcacam_jax.stages.parallel import Parallel
from pcacam_jax.stages.take import Take


def chain_of_steps(*stages: Stage) -> Chain:
    """Return the chain of the stages of a Pipeline's steps.

    Raises:
        InputError: if the output size of a step differs from the input size of the next step.
    """
    for n, (before, after) in enumerate(itertools.pairwise(stages), start=1):
        if (size := out_size(before)) != after.in_shape[0]:
            raise InputError(
                f"step {n + 1} of the Pipeline was fitted on {after.in_shape[0]} features, but step {n} gives {size}; "
                f"fit the Pipeline as a whole."
            )
    return Chain(stages)


def _pipeline(estimator: Pipeline) -> Outputs:
    """Return the outputs of the last step, each applied to the transformed features of the earlier steps."""
    if is_identity(estimator):
        return {"transform": lambda: _identity(estimator)}
    *before, last = [step for _, step in estimator.steps if not is_identity(step)]
    last_outputs = outputs(last)
    if is_identity(estimator.steps[-1][1]):
        last_outputs = {"transform": lambda: build(last, "transform")}

    def build_chain(output: str) -> Stage:
        return chain_of_steps(*(build(step, "transform") for step in before), last_outputs[output]())

    return {output: (lambda output=output: build_chain(output)) for output in last_outputs}


def _identity(estimator: Pipeline) -> Elementwise:
    sizes = [step.n_features_in_ for _, step in estimator.steps if hasattr(step, "n_features_in_")]
    if not sizes:
        raise InputError(
            "a Pipeline must have at least one step that is not 'passthrough', since its number of features is not "
            "stored otherwise; add StandardScaler(with_mean=False, with_std=False) as the first step."
        )
    return Elementwise("identity", sizes[0])


def _weighted(stage: Stage, weight: float | None) -> Stage:
    if weight is None:
        return stage
    return Chain((stage, scaling(out_size(stage), scale=float(weight))))


def _side_by_side(estimator: Estimator, parts: list[Stage]) -> Parallel:
    if not parts:
        raise InputError(
            f"a {type(estimator).__name__} must have at least one transformer that is not dropped; "
            f"got none, so add one."
        )
    return Parallel(tuple(parts))


def _feature_union(estimator: FeatureUnion) -> Stage:
    weights = estimator.transformer_weights or {}
    kept = [(name, part) for name, part in estimator.transformer_list if not _dropped(part)]
    built = [None if is_identity(part) else build(part, "transform") for _, part in kept]
    # FeatureUnion.n_features_in_ reads the first transformer, even if that one is dropped.
    sizes = [part.n_features_in_ for _, part in kept if hasattr(part, "n_features_in_")]
    sizes += [stage.in_shape[0] for stage in built if stage]
    if kept and not sizes:
        raise not_fitted(estimator)
    stages = [stage or Elementwise("identity", sizes[0]) for stage in built]
    return _side_by_side(
        estimator, [_weighted(stage, weights.get(name)) for (name, _), stage in zip(kept, stages, strict=True)]
    )


def _column_transformer(estimator: Estimator) -> Stage:
    weights, size = estimator.transformer_weights or {}, estimator.n_features_in_
    parts = []
    for name, part, columns in estimator.transformers_:
        indices = () if _dropped(part) else _indices(estimator, columns)
        if indices:
            stage = Elementwise("identity", len(indices)) if is_identity(part) else build(part, "transform")
            parts.append(_weighted(Chain((Take(indices, size), stage)), weights.get(name)))
    return _side_by_side(estimator, parts)


def _dropped(part: Any) -> bool:
    return isinstance(part, str) and part == "drop"


def _indices(estimator: Estimator, columns: Any) -> tuple[int, ...]:
    """Return the positions of ``columns``, which are an integer or a name, a slice or list of them, or booleans."""
    if isinstance(columns, slice):
        start, stop = columns.start, columns.stop
        if isinstance(start, str) or isinstance(stop, str):
            # As in pandas, a slice of names includes its end.
            stop = None if stop is None else _position(estimator, stop) + 1
            columns = slice(None if start is None else _position(estimator, start), stop)
    else:
        columns = np.atleast_1d(columns)
        if not columns.size:
            return ()
        if columns.dtype.kind not in "bui":
            columns = [_position(estimator, name) for name in columns]
    return tuple(int(index) for index in np.arange(estimator.n_features_in_)[columns])


def _position(estimator: Estimator, name: str) -> int:
    names = list(getattr(estimator, "feature_names_in_", ()))
    if name not in names:
        fitted = f"the columns {', '.join(map(str, names))}" if names else "columns without names"
        raise InputError(f"the ColumnTransformer selects column '{name}', but was fitted on {fitted}; fit it again.")
    return names.index(name)


register(Entry(Pipeline, "composition", "s_n(... s_1(x))", "", _pipeline, ("outputs of the last step",)))
register(
    Entry(
        FrozenEstimator,
        "composition",
        "formula of the frozen estimator",
        "",
        lambda frozen: outputs(frozen.estimator),
        ("outputs of the frozen estimator",),
    )
)
register_transformer(FeatureUnion, "composition", "(s_1(x), ..., s_n(x))", "", _feature_union)
register_transformer(
    ColumnTransformer,
    "composition",
    "(s_1(x[columns 1]), ..., s_n(x[columns n]))",
    "",
    _column_transformer,
)
