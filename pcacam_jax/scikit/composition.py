"""Pipelines, unions and column transformers: stages in a row and side by side."""

import itertools
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

from pcacam_jax.chain import Chain
from pcacam_jax.checks import InputError
from pcacam_jax.parallel import Parallel
from pcacam_jax.scikit.affine import register_transformer, scaling
from pcacam_jax.scikit.registry import (
    Entry,
    Estimator,
    Outputs,
    build,
    is_identity,
    not_fitted,
    out_size,
    outputs,
    register,
    steps_of,
)
from pcacam_jax.stages.activation import Elementwise
from pcacam_jax.stages.selection import Take
from pcacam_jax.types import Stage


def in_a_row(*stages: Stage) -> Chain:
    """Return the chain of stages, each of which must read as many values as the one before it gives."""
    for n, (before, after) in enumerate(itertools.pairwise(stages), start=1):
        if (given := out_size(before)) != after.in_shape[0]:
            raise InputError(
                f"step {n + 1} of the Pipeline was fitted on {after.in_shape[0]} features, but step {n} gives {given}; "
                f"fit the Pipeline as a whole."
            )
    return Chain(stages)


def _pipeline(estimator: Pipeline) -> Outputs:
    """The outputs of the last step, each after the transforms of those before it."""
    sizes = [step.n_features_in_ for _, step in estimator.steps if hasattr(step, "n_features_in_")]
    if sizes and is_identity(estimator):
        return {"transform": lambda: Elementwise("identity", sizes[0])}
    *before, last = steps_of(estimator)
    known = outputs(last)
    if is_identity(estimator.steps[-1][1]):
        known = {"transform": lambda: build(last, "transform")}

    def whole(output: str) -> Stage:
        return in_a_row(*(build(step, "transform") for step in before), known[output]())

    return {output: (lambda output=output: whole(output)) for output in known}


def _part(transformer: Estimator, size: int) -> Stage:
    """Return the stage of one transformer of several, on ``size`` features."""
    if is_identity(transformer):
        return Elementwise("identity", size)
    return build(transformer, "transform")


def _weighted(stage: Stage, weight: float | None) -> Stage:
    if weight is None:
        return stage
    return Chain((stage, scaling(out_size(stage), scale=float(weight))))


def _side_by_side(estimator: Estimator, parts: list[Stage]) -> Parallel:
    if not parts:
        raise InputError(f"a {type(estimator).__name__} must keep at least one transformer; every one is dropped.")
    return Parallel(tuple(parts))


def _feature_union(estimator: FeatureUnion) -> Stage:
    weights = estimator.transformer_weights or {}
    kept = [(name, part) for name, part in estimator.transformer_list if not _dropped(part)]
    # The union's own n_features_in_ is its first transformer's, even if that is dropped.
    sizes = [part.n_features_in_ for _, part in kept if hasattr(part, "n_features_in_")]
    if kept and not sizes:
        raise not_fitted(estimator)
    stages = [(name, _part(part, sizes[0])) for name, part in kept]
    return _side_by_side(estimator, [_weighted(stage, weights.get(name)) for name, stage in stages])


def _column_transformer(estimator: Estimator) -> Stage:
    weights, size = estimator.transformer_weights or {}, estimator.n_features_in_
    parts = []
    for name, part, columns in estimator.transformers_:
        indices = () if _dropped(part) else _indices(estimator, columns)
        if indices:
            stage = Chain((Take(indices, size), _part(part, len(indices))))
            parts.append(_weighted(stage, weights.get(name)))
    return _side_by_side(estimator, parts)


def _dropped(part: Any) -> bool:
    return isinstance(part, str) and part == "drop"


def _indices(estimator: Estimator, columns: Any) -> tuple[int, ...]:
    """Return the positions of columns given as an integer, a slice, or a list of integers or booleans."""
    everything = np.arange(estimator.n_features_in_)
    if isinstance(columns, slice):
        named = any(isinstance(end, str) for end in (columns.start, columns.stop))
    else:
        columns = np.atleast_1d(columns)
        named = columns.dtype.kind not in "bui" and columns.size > 0
        columns = columns if columns.size else slice(0)
    if named:
        raise InputError(
            f"a ColumnTransformer must select columns by position, since features have no names here; got {columns}. "
            "Fit it again with integers."
        )
    return tuple(int(index) for index in everything[columns])


register(Entry(Pipeline, "composition", "s_n(... s_1(x))", "", _pipeline, ("those of its last step",)))
register_transformer(FeatureUnion, "composition", "(s_1(x), ..., s_n(x))", "", _feature_union)
register_transformer(
    ColumnTransformer,
    "composition",
    "(s_1(x[columns 1]), ..., s_n(x[columns n]))",
    "columns by position: integers, slices, booleans",
    _column_transformer,
)
